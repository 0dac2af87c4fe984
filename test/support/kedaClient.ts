/** KEDA's side of an external scaler: the client of @grpc/grpc-js, with KEDA's own description of the service. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** pkg/scalers/externalscaler/externalscaler.proto of kedacore/keda. */
const PROTO = `
syntax = "proto3";
package externalscaler;
service ExternalScaler {
  rpc IsActive(ScaledObjectRef) returns (IsActiveResponse) {}
  rpc StreamIsActive(ScaledObjectRef) returns (stream IsActiveResponse) {}
  rpc GetMetricSpec(ScaledObjectRef) returns (GetMetricSpecResponse) {}
  rpc GetMetrics(GetMetricsRequest) returns (GetMetricsResponse) {}
  rpc Later(ScaledObjectRef) returns (IsActiveResponse) {}
}
message ScaledObjectRef { string name = 1; string namespace = 2; map<string, string> scalerMetadata = 3; }
message IsActiveResponse { bool result = 1; }
message GetMetricSpecResponse { repeated MetricSpec metricSpecs = 1; }
message MetricSpec { string metricName = 1; int64 targetSize = 2; double targetSizeFloat = 3; }
message GetMetricsRequest { ScaledObjectRef scaledObjectRef = 1; string metricName = 2; }
message GetMetricsResponse { repeated MetricValue metricValues = 1; }
message MetricValue { string metricName = 1; int64 metricValue = 2; double metricValueFloat = 3; }
`;

type Done = (error: (Error & { code: number }) | null, answer: unknown) => void;

interface Stream {
  on(event: 'data', take: (answer: { readonly result: boolean }) => void): void;
  on(event: 'error', take: (error: Error & { readonly code: number }) => void): void;
  cancel(): void;
}

type RawClient = Readonly<Record<string, (request: object, done: Done) => void>> & {
  readonly streamIsActive: (request: object) => Stream;
  close(): void;
};

export interface KedaClient {
  /** Rejects with the code of gRPC. */
  ask(method: 'isActive' | 'getMetricSpec' | 'getMetrics' | 'later', request: object): Promise<unknown>;
  /** What was told so far, and the codes of gRPC with which it ended. */
  stream(request: object): {
    readonly told: readonly boolean[];
    readonly failed: readonly number[];
    cancel(): void;
  };
  close(): void;
}

export interface KedaCredentials {
  readonly ca: string;
  readonly key?: string;
  readonly cert?: string;
  /** Of the certificate. */
  readonly name: string;
}

/** Loaded by a name that the compiler does not follow: the packages are for this test alone, and have types of their own. */
async function load<Module>(name: string): Promise<Module> {
  return (await import(name)) as Module;
}

interface Grpc {
  loadPackageDefinition(definition: object): {
    readonly externalscaler: {
      readonly ExternalScaler: new (target: string, credentials: object, options: object) => RawClient;
    };
  };
  readonly credentials: {
    createSsl(ca: Buffer | null, key: Buffer | null, cert: Buffer | null): object;
    createInsecure(): object;
  };
}

interface ProtoLoader {
  loadSync(path: string, options: object): object;
}

export async function kedaClient(target: string, tls?: KedaCredentials): Promise<KedaClient> {
  const grpc = await load<Grpc>('@grpc/grpc-js');
  const { loadSync } = await load<ProtoLoader>('@grpc/proto-loader');
  const folder = mkdtempSync(join(tmpdir(), 'keda-'));
  const path = join(folder, 'externalscaler.proto');
  writeFileSync(path, PROTO);
  const described = grpc.loadPackageDefinition(loadSync(path, { longs: Number, defaults: true }));
  rmSync(folder, { recursive: true });
  const bytes = (text?: string) => (text === undefined ? null : Buffer.from(text));
  const credentials = tls
    ? grpc.credentials.createSsl(bytes(tls.ca), bytes(tls.key), bytes(tls.cert))
    : grpc.credentials.createInsecure();
  const options = tls ? { 'grpc.ssl_target_name_override': tls.name } : {};
  const client: RawClient = new described.externalscaler.ExternalScaler(target, credentials, options);
  return {
    ask: (method, request) =>
      new Promise((resolve, reject) => {
        client[method]?.(request, (error, answer) => (error ? reject(error) : resolve(answer)));
      }),
    stream: (request) => {
      const told: boolean[] = [];
      const stream = client.streamIsActive(request);
      stream.on('data', ({ result }) => told.push(result));
      const failed: number[] = [];
      stream.on('error', ({ code }) => failed.push(code));
      return { told, failed, cancel: () => stream.cancel() };
    },
    close: () => client.close(),
  };
}

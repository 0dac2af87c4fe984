/**
 * KEDA's external scaler (externalscaler.proto of kedacore/keda, package externalscaler): whether a Service is wanted, and how many
 * connections it has, from what the agents of all nodes say in their Leases.
 */
import type { ClusterUse } from '../../agent/wake/ClusterActivity.js';
import { messageOf } from '../../errors.js';
import { type Clock, every } from '../../time/Clock.js';
import { type GrpcAnswer, GrpcCode, GrpcError, type GrpcMethod } from './GrpcServer.js';
import { bytesField, readFields, textField, writeBytes, writeDouble, writeNumber } from './protobuf.js';

export interface ExternalScalerOptions {
  /** By `namespace/name`. */
  readonly useOf: (service: string) => ClusterUse;
  readonly clock: Clock;
}

/** The trigger of a ScaledObject. */
interface Trigger {
  /** `namespace/name` */
  readonly service: string;
  /** Connections of one replica. */
  readonly connections: number;
}

const METRIC = 'connections';
const USUAL_CONNECTIONS = 100;
/** A node whose Lease has run out is noticed so, and an API server that went away. */
const LOOK_MS = 5000;
/** Of many nodes one or the other writes all the time: what comes in so long is looked at together. */
const MERGE_MS = 100;
/** Kubernetes: RFC 1035, and RFC 1123 for namespaces. */
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Fields: externalscaler.proto. */
const REF = { name: 1, namespace: 2, metadata: 3 } as const;
const ENTRY = { key: 1, value: 2 } as const;

export class ExternalScaler {
  readonly methods: ReadonlyMap<string, GrpcMethod>;
  readonly #options: ExternalScalerOptions;
  /** Who is told when something changes. */
  readonly #listeners = new Set<() => void>();
  readonly #endLook: () => void;
  /** Undefined: nothing has changed since the last look. */
  #cancelSoon: (() => void) | undefined;

  constructor(options: ExternalScalerOptions) {
    this.#options = options;
    this.#endLook = every(options.clock, LOOK_MS, () => this.#look());
    const once =
      (answer: (request: Uint8Array) => Uint8Array): GrpcMethod =>
      (request, { send, end }) => {
        send(answer(request));
        end();
      };
    const path = (method: string) => `/externalscaler.ExternalScaler/${method}`;
    this.methods = new Map([
      [path('IsActive'), once((request) => isActive(this.#isActive(readTrigger(request))))],
      [path('StreamIsActive'), (request, answer) => this.#stream(readTrigger(request), answer)],
      [path('GetMetricSpec'), once((request) => metricSpec(readTrigger(request)))],
      [path('GetMetrics'), once((request) => this.#metrics(request))],
    ]);
  }

  /** Some Lease is another. */
  changed(): void {
    this.#cancelSoon ??= this.#options.clock.after(MERGE_MS, () => this.#look());
  }

  close(): void {
    this.#endLook();
    this.#cancelSoon?.();
    this.#listeners.clear();
  }

  #look(): void {
    this.#cancelSoon?.();
    this.#cancelSoon = undefined;
    for (const look of this.#listeners) look();
  }

  /** Says nothing while it is not certain that nobody has connections: then KEDA does as before. */
  #stream({ service }: Trigger, answer: GrpcAnswer): void {
    let told: boolean | undefined;
    const look = () => {
      const { active, isBlind, why } = this.#options.useOf(service);
      if (isBlind) {
        this.#listeners.delete(look);
        answer.fail(new GrpcError(GrpcCode.UNAVAILABLE, why ?? ''));
        return;
      }
      if (active === undefined || active === told) return;
      told = active;
      answer.send(isActive(active));
    };
    this.#listeners.add(look);
    answer.onClose(() => this.#listeners.delete(look));
    look();
  }

  /** Throws GrpcError. */
  #isActive({ service }: Trigger): boolean {
    const { active, why } = this.#options.useOf(service);
    if (active === undefined) throw new GrpcError(GrpcCode.UNAVAILABLE, why ?? '');
    return active;
  }

  /** Throws GrpcError. */
  #metrics(request: Uint8Array): Uint8Array {
    const ref = bytesField(readMessage(request), 1);
    if (ref === undefined) throw new GrpcError(GrpcCode.INVALID_ARGUMENT, 'there is no scaledObjectRef');
    const { connections, waits, why } = this.#options.useOf(readTrigger(ref).service);
    if (connections === undefined) throw new GrpcError(GrpcCode.UNAVAILABLE, why ?? '');
    // Who waits is one as well: without it the first replica would be taken away before it serves.
    const value = Math.min(connections + (waits ? 1 : 0), Number.MAX_SAFE_INTEGER);
    const metric = [writeBytes(1, METRIC), writeNumber(2, value), writeDouble(3, value)];
    return writeBytes(1, Buffer.concat(metric));
  }
}

function isActive(result: boolean): Uint8Array {
  return writeNumber(1, result);
}

/** The first of two targets is what KEDA before 2.15 reads. */
function metricSpec({ connections }: Trigger): Uint8Array {
  const spec = [
    writeBytes(1, METRIC),
    writeNumber(2, Math.max(1, Math.round(connections))),
    writeDouble(3, connections),
  ];
  return writeBytes(1, Buffer.concat(spec));
}

/** Throws GrpcError. */
function readTrigger(message: Uint8Array): Trigger {
  const fields = readMessage(message);
  const metadata = new Map<string, string>();
  for (const [number, value] of fields) {
    if (number !== REF.metadata || typeof value === 'number') continue;
    const entry = readMessage(value);
    metadata.set(textField(entry, ENTRY.key), textField(entry, ENTRY.value));
  }
  const namespace = textField(fields, REF.namespace);
  const service = metadata.get('service') ?? '';
  if (!NAME.test(namespace) || !NAME.test(service))
    throw new GrpcError(
      GrpcCode.INVALID_ARGUMENT,
      'metadata.service of the trigger must be the name of a Service in the namespace of the ScaledObject',
    );
  const text = metadata.get('connections') ?? String(USUAL_CONNECTIONS);
  const connections = Number(text);
  if (text === '' || !(connections > 0) || !Number.isSafeInteger(Math.ceil(connections)))
    throw new GrpcError(
      GrpcCode.INVALID_ARGUMENT,
      'metadata.connections of the trigger must be above 0: so many connections has one replica',
    );
  return { service: `${namespace}/${service}`, connections };
}

function readMessage(message: Uint8Array): ReturnType<typeof readFields> {
  try {
    return readFields(message);
  } catch (error) {
    throw new GrpcError(GrpcCode.INVALID_ARGUMENT, `the message cannot be read: ${messageOf(error)}`);
  }
}

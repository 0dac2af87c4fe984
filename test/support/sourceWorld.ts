/** A KubernetesSource that reads a FakeApiServer over real sockets, as the agent would. */
import type { Test } from 'tap';
import { ApiClient } from '../../src/kubernetes/http/ApiClient.js';
import { KubernetesSource } from '../../src/kubernetes/KubernetesSource.js';
import { type Connection, NOBODY } from '../../src/kubernetes/kubeconfig/Connection.js';
import { Credentials } from '../../src/kubernetes/kubeconfig/Credentials.js';
import type { SourceContact } from '../../src/kubernetes/ObjectSource.js';
import { parseObject } from '../../src/objects/read/parseObject.js';
import { serviceManifest, sliceManifest } from '../unit/objects/samples.js';
import { FakeApiServer, type RawApiObject } from './FakeApiServer.js';
import { FastClock } from './FastClock.js';
import { eventually } from './iptables.js';
import { StoreListener } from './StoreListener.js';
import { type ServedApi, type ServingOptions, serveApi } from './serveApi.js';

export const SERVICES = '/api/v1/services';
export const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';

export interface SourceWorldOptions {
  /** How much faster time passes; 100: silence is noticed after 1.5 s. */
  readonly speed?: number;
  readonly serving?: ServingOptions;
  /** What differs from a plain connection to the server as nobody. */
  readonly connection?: (url: string) => Partial<Connection>;
  /** Milliseconds since the epoch, for credentials. */
  readonly now?: () => number;
  /** Before the source starts. */
  readonly prepare?: (fake: FakeApiServer) => void;
}

export class SourceWorld {
  readonly fake: FakeApiServer;
  readonly listener = new StoreListener();
  readonly lines: string[] = [];
  readonly source: KubernetesSource;
  api: ServedApi;

  private constructor(fake: FakeApiServer, api: ServedApi, clock: FastClock, options: SourceWorldOptions) {
    this.fake = fake;
    this.api = api;
    const connection: Connection = {
      server: api.url,
      ca: undefined,
      tlsServerName: undefined,
      verify: 'certificate',
      proxy: undefined,
      compression: 'gzip',
      user: NOBODY,
      ...options.connection?.(api.url),
    };
    const credentials = new Credentials(connection, options.now ?? Date.now);
    const transport = new ApiClient(connection, credentials, 'penstock/test');
    const say = (line: string) => this.lines.push(line);
    const log = { info: say, warn: say };
    this.source = new KubernetesSource({ transport, nodeName: 'node1', serviceProxyName: '', log, clock });
  }

  static async open(t: Test, options: SourceWorldOptions = {}): Promise<SourceWorld> {
    const clock = new FastClock(options.speed ?? 100);
    const fake = new FakeApiServer(clock);
    options.prepare?.(fake);
    const world = new SourceWorld(fake, await serveApi(fake, 0, options.serving), clock, options);
    await world.source.start(world.listener);
    t.teardown(async () => {
      await world.source.stop();
      await world.api.close();
    });
    return world;
  }

  /** Whether the listener comes to hold what the server holds, without ever being told anything twice. */
  async agrees(limitMs = 20_000): Promise<boolean> {
    const { listener } = this;
    const same = await eventually(() => listener.completed > 0 && this.#found() === this.#truth(), limitMs);
    return same && listener.completed === 1 && listener.needless.length === 0;
  }

  #found(): string {
    return [...this.listener.objects.values()]
      .map((object) => JSON.stringify(object))
      .sort()
      .join('\n');
  }

  #truth(): string {
    const parsed = [
      ...this.fake.objects(SERVICES).map((raw) => parseObject(raw, { kind: 'Service', apiVersion: 'v1' })),
      ...this.fake
        .objects(SLICES)
        .map((raw) => parseObject(raw, { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1' })),
    ];
    const objects = parsed.map((result) => (result.type === 'object' ? result.object : result));
    return objects
      .map((object) => JSON.stringify(object))
      .sort()
      .join('\n');
  }

  contact(resource: string): SourceContact {
    const contact = this.source.contacts().find((each) => each.resource === resource);
    if (!contact) throw new Error(`no contact for ${resource}`);
    return contact;
  }
}

/** `port` tells versions apart. */
export function service(n: number, port = 80, metadata: object = {}): RawApiObject {
  const fields = { name: `s${n}`, ...metadata };
  const clusterIP = `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
  return serviceManifest({ clusterIP, ports: [{ port }] }, fields) as unknown as RawApiObject;
}

export function slice(n: number, host: number): RawApiObject {
  const fields = { name: `s${n}-a` };
  return sliceManifest({ endpoints: [{ addresses: [`10.1.0.${host}`] }] }, fields) as unknown as RawApiObject;
}

/** A small API server for allocators: Services, pools and the Lease, and writes that fail as real ones do. */
import {
  type AllocatorApi,
  type AllocatorHandle,
  openAllocator,
} from '../../../src/balancer/allocator/openAllocator.js';
import { FakeApiServer, type RawApiObject } from '../FakeApiServer.js';
import { FakeClock } from '../FakeClock.js';

export const SERVICES = '/api/v1/services';
export const POOLS = '/apis/metallb.io/v1beta1/ipaddresspools';
/** The same of the other group. */
export const OWN_POOLS = '/apis/penstock.io/v1alpha1/ipaddresspools';

/** Takes writes as a real one does: merge patches of the status, with a check of the version. */
export class AllocatorCluster {
  readonly clock = new FakeClock();
  readonly server = new FakeApiServer(this.clock);
  readonly writes: string[] = [];
  /** Every write of a status that came in: who sends it, of which Service. */
  readonly patches: string[] = [];
  readonly told: string[] = [];
  /** Addresses that two Services had in their status, each time a status was written. */
  readonly twice: string[] = [];
  /** Name of a Service → after how many milliseconds a write of its status is taken, and answered; answered first: with a failure. */
  readonly late = new Map<string, { readonly takenMs: number; readonly answeredMs: number }>();
  lease: { metadata: { resourceVersion: string }; spec: { holderIdentity: string } } | undefined;
  away = false;
  /** Name of a Service → what is answered to a write of its status, as an admission webhook makes it; 0: no answer for 10 s. */
  readonly refuses = new Map<string, number>();
  retryAfterMs = 0;
  /** Requests for the Lease are answered when this resolves. */
  leaseStalls: Promise<void> | undefined;
  /** And for the status of Services. */
  statusStalls: Promise<void> | undefined;
  #leaseVersion = 0;
  readonly #open: AllocatorHandle[] = [];

  constructor() {
    const none = { metadata: { name: 'kube-system' } };
    this.server.put('/api/v1/namespaces', none);
  }

  service(name: string, more: object = {}): void {
    this.server.put(SERVICES, {
      metadata: { name, namespace: 'a' },
      spec: { type: 'LoadBalancer', ipFamilies: ['IPv4'], ports: [{ port: 80 }] },
      ...more,
    } as RawApiObject);
  }

  pool(name: string, ...addresses: readonly string[]): void {
    this.server.put(POOLS, {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name, namespace: 'lb' },
      spec: { addresses },
    } as RawApiObject);
  }

  /** The definition of pools is not there, or may not be read (403), for so many requests. */
  withoutPools(status: 404 | 403, requests: number): void {
    for (const path of [POOLS, OWN_POOLS])
      this.server.faultsAt.set(
        path,
        Array.from({ length: requests }, () => ({ type: 'status', status }) as const),
      );
    this.server.breakConnections();
  }

  removePool(name: string): void {
    this.server.delete(POOLS, { metadata: { name, namespace: 'lb' } });
  }

  addresses(): Record<string, string> {
    return Object.fromEntries(
      this.server.objects(SERVICES).map((object) => {
        const { status } = object as { status?: { loadBalancer?: { ingress?: { ip: string }[] } } };
        return [object.metadata.name, (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip).join(' ')];
      }),
    );
  }

  open(
    identity: string,
    events: Partial<Parameters<typeof openAllocator>[0]['events']> = {},
  ): AllocatorHandle {
    const handle = openAllocator({
      api: this.#api(identity),
      namespace: 'kube-system',
      identity,
      isDefault: true,
      loadBalancerClass: 'penstock.io/load-balancer',
      clock: this.clock,
      random: () => 0.5,
      wallClock: () => 0,
      log: { info: () => {}, warn: () => {} },
      events: {
        told: (type, reason, { name }, note) => this.told.push(`${type} ${reason} ${name}: ${note}`),
        problems: () => {},
        trouble: () => {},
        ...events,
      },
    });
    this.#open.push(handle);
    return handle;
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.map((handle) => handle.stop()));
  }

  #api(identity: string): AllocatorApi {
    const send: AllocatorApi['send'] = async (method, path, body) => {
      if (this.away) throw new Error('ECONNREFUSED');
      if (path.includes('/leases')) await this.leaseStalls;
      if (path.includes('/leases'))
        return this.#writeLease(method, body as NonNullable<AllocatorCluster['lease']>);
      await this.statusStalls;
      if (this.refuses.get(path.split('/').at(-2) ?? '') === 0) {
        await new Promise<void>((resolve) => this.clock.after(10_000, resolve));
        this.writes.push(`${path.split('/').at(-2)} refused`);
        throw new Error('no answer within 10 s');
      }
      const late = this.late.get(path.split('/').at(-2) ?? '');
      const write = () => this.#writeStatus(identity, path, body as RawApiObject & { status: object });
      return late === undefined ? write() : this.#late(write, late);
    };
    return {
      server: this.server.server,
      get: async (path, signal) => {
        if (this.away) throw new Error('ECONNREFUSED');
        if (!path.includes('/leases/')) return this.server.get(path, signal);
        await this.leaseStalls;
        const body = Buffer.from(JSON.stringify(this.lease ?? {}));
        return {
          status: this.lease ? 200 : 404,
          retryAfter: undefined,
          body: (async function* () {
            yield body;
          })(),
        } as unknown as Awaited<ReturnType<AllocatorApi['get']>>;
      },
      send,
      sendPatiently: async (method, path, body) => ({
        status: await send(method, path, body),
        retryAfterMs: this.retryAfterMs,
      }),
      close: async () => {},
    };
  }

  async #late(write: () => number, late: { takenMs: number; answeredMs: number }): Promise<number> {
    let status: number | undefined;
    this.clock.after(late.takenMs, () => {
      status = write();
    });
    await new Promise<void>((resolve) => this.clock.after(late.answeredMs, resolve));
    if (status === undefined) throw new Error('no answer');
    return status;
  }

  #writeLease(method: 'POST' | 'PATCH', body: NonNullable<AllocatorCluster['lease']>): number {
    if (method === 'POST' && this.lease) return 409;
    const asked = body.metadata.resourceVersion;
    if (method === 'PATCH' && asked !== this.lease?.metadata.resourceVersion) return 409;
    this.lease = { ...body, metadata: { resourceVersion: String(++this.#leaseVersion) } };
    return method === 'POST' ? 201 : 200;
  }

  #writeStatus(
    identity: string,
    path: string,
    { metadata, status }: RawApiObject & { status: object },
  ): number {
    const name = path.split('/').at(-2);
    this.patches.push(`${identity} ${name}`);
    const now = this.server.objects(SERVICES).find((object) => object.metadata.name === name);
    if (!now) return 404;
    const refusal = this.refuses.get(String(name));
    if (refusal !== undefined) {
      this.writes.push(`${name} refused`);
      return refusal;
    }
    if (now.metadata.resourceVersion !== metadata.resourceVersion) return 409;
    this.writes.push(`${identity} ${name}`);
    this.server.put(SERVICES, { ...now, status } as RawApiObject);
    const given = Object.values(this.addresses()).flatMap((text) => text.split(' ').filter(Boolean));
    this.twice.push(...given.filter((ip, i) => given.indexOf(ip) < i));
    return 200;
  }
}

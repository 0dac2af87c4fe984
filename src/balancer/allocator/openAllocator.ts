/** The allocator on an API server: watches, Lease and Events around the Allocator. Opened and closed as one. */
import { Outage, type SourceLog } from '../../kubernetes/contact/Outage.js';
import type { ApiTransport } from '../../kubernetes/http/ApiTransport.js';
import { readObject } from '../../kubernetes/http/readObject.js';
import type { WatchedPath } from '../../kubernetes/watch/resources.js';
import { WatchGroup } from '../../kubernetes/watch/WatchGroup.js';
import { objectName } from '../../objects/ApiObject.js';
import type { Clock } from '../../time/Clock.js';
import type { AddressBookOptions } from '../addresses/AddressBook.js';
import { Allocator, type AllocatorEvents, type AllocatorKind } from './Allocator.js';
import { Leadership, type LeaseAccess } from './Leadership.js';
import { type RawChange, RawStore } from './RawStore.js';

export interface AllocatorApi extends ApiTransport {
  /** Resolves to the status. Rejects when there is no answer. */
  send(method: 'POST' | 'PATCH', path: string, body: unknown): Promise<number>;
  /** The same with what the server asked to wait; 0 when it did not. */
  sendPatiently(
    method: 'POST' | 'PATCH',
    path: string,
    body: unknown,
  ): Promise<{ readonly status: number; readonly retryAfterMs: number }>;
}

export interface OpenAllocatorOptions extends AddressBookOptions {
  readonly api: AllocatorApi;
  /** Of the Lease. */
  readonly namespace: string;
  /** Of this process: unique among all allocators. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly wallClock: () => number;
  readonly log: SourceLog;
  readonly events: AllocatorEvents;
}

export interface AllocatorHandle {
  readonly allocator: Allocator;
  readonly leads: () => boolean;
  stop(): Promise<void>;
}

/** Milliseconds. One allocator asks, and everybody waits for the pools who wants an address. */
const POOLS_RETRY_MS = 15_000;

const WATCHED: readonly (WatchedPath & { readonly kind: AllocatorKind; readonly group: string })[] = [
  { kind: 'Service', group: '', title: 'Services', path: '/api/v1/services', query: {}, optional: false },
  {
    kind: 'Namespace',
    group: '',
    title: 'Namespaces',
    path: '/api/v1/namespaces',
    query: {},
    optional: false,
  },
  { kind: 'Node', group: '', title: 'Nodes', path: '/api/v1/nodes', query: {}, optional: false },
  {
    kind: 'IPAddressPool',
    group: 'penstock.io',
    title: 'IPAddressPools of penstock.io',
    path: '/apis/penstock.io/v1alpha1/ipaddresspools',
    query: {},
    optional: true,
    absentRetryMs: POOLS_RETRY_MS,
  },
  {
    kind: 'IPAddressPool',
    group: 'metallb.io',
    title: 'IPAddressPools of MetalLB',
    path: '/apis/metallb.io/v1beta1/ipaddresspools',
    query: {},
    optional: true,
    absentRetryMs: POOLS_RETRY_MS,
  },
];

export function openAllocator(options: OpenAllocatorOptions): AllocatorHandle {
  const { api, clock, random, log, events } = options;
  const outage = new Outage(clock, api.server, log, () => 'Services keep the addresses that they have');
  const allocator = new Allocator(
    {
      ...options,
      patch: (path, body) => api.sendPatiently('PATCH', path, body),
      mayWrite: () => leadership.leads,
    },
    WATCHED.map(({ title }) => title),
  );
  const watches = new WatchGroup<RawChange>(
    WATCHED.map(({ kind, group, ...resource }) => ({
      resource,
      store: new RawStore(),
      events: {
        changes: (batch) => allocator.apply(kind, group, batch),
        complete: () => allocator.complete(resource.title),
      },
    })),
    { transport: api, outage, clock, random },
  );
  const leadership = new Leadership({
    access: leaseAccess(api, options.namespace, clock),
    identity: options.identity,
    clock,
    wallClock: options.wallClock,
    onChange: (leads, holder) => {
      const other =
        holder === options.identity
          ? 'the Lease of this allocator has run out: it gives no addresses until it has it again'
          : `another allocator gives addresses: ${holder}`;
      log.info(leads ? 'this allocator gives addresses now' : other);
      allocator.setLeads(leads);
    },
    onTrouble: events.trouble,
  });
  watches.start();
  leadership.start();
  return {
    allocator,
    leads: () => leadership.leads,
    stop: async () => {
      allocator.setLeads(false);
      await Promise.all([allocator.stop(), watches.stop()]);
      await leadership.stop();
      outage.stop();
    },
  };
}

/** As LEASE_NAME in deploy/allocator. */
export const LEASE_NAME = 'penstock-allocator';

export function leaseAccess(api: AllocatorApi, namespace: string, clock: Clock): LeaseAccess {
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  return {
    read: () =>
      readObject(
        api,
        `${leases}/${LEASE_NAME}`,
        objectName({ kind: 'Lease', namespace, name: LEASE_NAME }),
        'Check the log of the API server, and the Role of deploy/allocator.',
        clock,
      ),
    create: (body) =>
      api.send('POST', leases, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        ...body,
        metadata: { name: LEASE_NAME, namespace },
      }),
    patch: (body) => api.send('PATCH', `${leases}/${LEASE_NAME}`, body),
  };
}

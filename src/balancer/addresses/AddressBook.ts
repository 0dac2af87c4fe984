/**
 * All Services, pools, nodes and namespaces, and who has which address. Its state is the status of the Services: whatever
 * they have when everything is known they keep, as long as they may. Pure: what is to be written it returns.
 */
import type { IpAddress } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Labels } from '../objects/LabelSelector.js';
import { type AddressPool, poolHas, poolName, poolSize } from './AddressPool.js';
import { Allocations } from './Allocations.js';
import { type AddressDecision, decideAddresses } from './decideAddresses.js';
import type { ServiceRequest } from './ServiceRequest.js';

export interface AddressBookOptions {
  /** Of Services that name no loadBalancerClass: whether they are ours. */
  readonly isDefault: boolean;
  /** Ours, when a Service names it. */
  readonly loadBalancerClass: string;
}

/** A status that is to be written. */
export interface StatusWrite {
  readonly service: ServiceRequest;
  readonly addresses: readonly IpAddress[];
  /** Where the addresses are from; why there are none. */
  readonly decision: AddressDecision;
}

export interface PoolUse {
  readonly pool: AddressPool;
  readonly used: number;
  readonly total: bigint;
}

export class AddressBook {
  readonly #options: AddressBookOptions;
  readonly #pools = new Map<string, AddressPool>();
  readonly #services = new Map<string, ServiceRequest>();
  readonly #namespaces = new Map<string, Labels>();
  /** Addresses with another owner: of nodes, and cluster IPs. */
  readonly #owners = new Map<IpAddress, string>();
  readonly #allocations = new Allocations();
  readonly #decisions = new Map<string, AddressDecision>();
  readonly #dirty = new Set<string>();

  constructor(options: AddressBookOptions) {
    this.#options = options;
  }

  setPool(pool: AddressPool): void {
    this.#pools.set(poolName(pool), pool);
    this.#allDirty();
  }

  /** `key` as poolName(). */
  removePool(key: string): void {
    if (this.#pools.delete(key)) this.#allDirty();
  }

  setNamespace(name: string, labels: Labels): void {
    this.#namespaces.set(name, labels);
    for (const [key, { namespace }] of this.#services) if (namespace === name) this.#dirty.add(key);
  }

  /** `owner`: `node node1`; undefined frees the address. */
  setOwner(address: IpAddress, owner: string | undefined): void {
    if (this.#owners.get(address) === owner) return;
    if (owner === undefined) {
      if (this.#owners.delete(address)) this.#waitersDirty('');
      return;
    }
    this.#owners.set(address, owner);
    for (const key of this.#allocations.holdersOf(address)) this.#dirty.add(key);
  }

  setService(service: ServiceRequest): void {
    this.#services.set(objectPath(service), service);
    this.#dirty.add(objectPath(service));
  }

  /** `namespace/name`. What it had is free, which others may have waited for. */
  removeService(key: string): void {
    this.#services.delete(key);
    this.#dirty.delete(key);
    this.#free(key);
  }

  /** Whether the Service is this allocator's to serve. */
  isOurs({ loadBalancerClass }: ServiceRequest): boolean {
    return loadBalancerClass === ''
      ? this.#options.isDefault
      : loadBalancerClass === this.#options.loadBalancerClass;
  }

  /**
   * Decides about everything that changed. Who has an address comes before who has none, and among these the oldest:
   * so no newcomer takes what somebody has, in whatever order the objects came.
   */
  decide(): readonly StatusWrite[] {
    const writes: StatusWrite[] = [];
    while (this.#dirty.size > 0) {
      const services = [...this.#dirty].flatMap((key) => this.#services.get(key) ?? []).sort(byPrecedence);
      this.#dirty.clear();
      for (const service of services) {
        const write = this.#decideOne(service);
        if (write !== undefined) writes.push(write);
      }
    }
    return writes;
  }

  /** The last decision about a Service; undefined: it wants nothing of us. */
  decisionOf(key: string): AddressDecision | undefined {
    return this.#decisions.get(key);
  }

  uses(): readonly PoolUse[] {
    return [...this.#pools.values()].map((pool) => ({
      pool,
      used: this.#allocations.count((address) => poolHas(pool, address)),
      total: poolSize(pool),
    }));
  }

  #decideOne(service: ServiceRequest): StatusWrite | undefined {
    const key = objectPath(service);
    if (!service.wants || !this.isOurs(service)) {
      const had = this.#decisions.get(key)?.type === 'assigned';
      this.#decisions.delete(key);
      this.#free(key);
      // A Service that is no LoadBalancer any more loses its status with the API server; one of another class is not ours.
      const isLeft = !service.wants && had && service.assigned.length > 0;
      return isLeft
        ? { service, addresses: [], decision: { type: 'refused', why: 'it is of another type' } }
        : undefined;
    }
    const before = this.#allocations.addressesOf(key);
    const decision = decideAddresses(service, {
      pools: [...this.#pools.values()],
      allocations: this.#allocations,
      namespaceLabels: (name) => this.#namespaces.get(name) ?? {},
      takenBy: (address) => this.#owners.get(address),
    });
    const addresses = decision.type === 'assigned' ? decision.addresses : [];
    this.#allocations.assign(service, addresses);
    if (before.some((address) => !addresses.includes(address))) this.#waitersDirty(key);
    const last = this.#decisions.get(key);
    this.#decisions.set(key, decision);
    const isWritten = same(service.assigned, addresses) && !service.foreignStatus;
    const isTold = last !== undefined && JSON.stringify(last) === JSON.stringify(decision);
    return isWritten && (decision.type === 'assigned' || isTold)
      ? undefined
      : { service, addresses, decision };
  }

  #free(key: string): void {
    const had = this.#allocations.addressesOf(key).length > 0;
    this.#allocations.release(key);
    if (had) this.#waitersDirty(key);
  }

  /** Those who got nothing, or not everything, may get what has become free. */
  #waitersDirty(besides: string): void {
    for (const [key, service] of this.#services) {
      if (key === besides || !service.wants || !this.isOurs(service)) continue;
      if (this.#allocations.addressesOf(key).length < service.families.length) this.#dirty.add(key);
    }
  }

  #allDirty(): void {
    for (const key of this.#services.keys()) this.#dirty.add(key);
  }
}

function byPrecedence(a: ServiceRequest, b: ServiceRequest): number {
  const has = (service: ServiceRequest) => (service.assigned.length > 0 ? 0 : 1);
  return (
    has(a) - has(b) ||
    (a.created ?? Number.MAX_VALUE) - (b.created ?? Number.MAX_VALUE) ||
    (objectPath(a) < objectPath(b) ? -1 : 1)
  );
}

function same(a: readonly IpAddress[], b: readonly IpAddress[]): boolean {
  return a.length === b.length && a.every((address, i) => address === b[i]);
}

/**
 * All Services, pools, nodes and namespaces, and who has which address. Its state is the status of the Services: whatever
 * they have when everything is known they keep, as long as they may. Pure: what is to be written it returns.
 */
import type { IpAddress } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Labels } from '../objects/LabelSelector.js';
import { type AddressPool, poolAllows, poolHas, poolName, poolSize } from './AddressPool.js';
import { Allocations } from './Allocations.js';
import { type AddressDecision, decideAddresses } from './decideAddresses.js';
import { LeftAddresses, type StatusWriteEnd } from './LeftAddresses.js';
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

export interface Decided {
  readonly writes: readonly StatusWrite[];
  /** Keys of Services that need no write: their status is right, or is no affair of this allocator. */
  readonly settled: readonly string[];
}

export interface PoolUse {
  readonly pool: AddressPool;
  readonly used: number;
  readonly total: bigint;
}

export class AddressBook {
  readonly #options: AddressBookOptions;
  readonly #pools = new Map<string, AddressPool>();
  /** Pools that went a moment ago, and may be back under another name. */
  readonly #gone = new Map<string, AddressPool>();
  /** `quietly`: pools may be there that are not known yet. `aloud`: so it is, and for so long that Services are told. */
  #awaits: 'nothing' | 'quietly' | 'aloud' = 'nothing';
  readonly #services = new Map<string, ServiceRequest>();
  readonly #namespaces = new Map<string, Labels>();
  /** Addresses with another owner: of nodes, and cluster IPs. */
  readonly #owners = new Map<IpAddress, string>();
  /** What a Service is to lose, and its status may have still: nobody else gets that before the status is seen without it. */
  readonly #left = new LeftAddresses();
  readonly #allocations = new Allocations((address) => this.#left.isLeft(address));
  #hasFreed = false;
  readonly #decisions = new Map<string, AddressDecision>();
  readonly #dirty = new Set<string>();

  constructor(options: AddressBookOptions) {
    this.#options = options;
  }

  get hasPools(): boolean {
    return this.#pools.size > 0;
  }

  /** `key` as poolName(). */
  hasPool(key: string): boolean {
    return this.#pools.has(key);
  }

  setPool(pool: AddressPool): void {
    this.#gone.delete(poolName(pool));
    this.#pools.set(poolName(pool), pool);
    this.#allDirty();
  }

  /** It gives nothing any more; who has an address of it keeps that until forgetPool(). `key` as poolName(). False: there was none. */
  removePool(key: string): boolean {
    const pool = this.#pools.get(key);
    if (pool === undefined) return false;
    this.#pools.delete(key);
    this.#gone.set(key, pool);
    this.#allDirty();
    return true;
  }

  /** It is gone for good. */
  forgetPool(key: string): void {
    if (this.#gone.delete(key)) this.#allDirty();
  }

  /** As long as pools are awaited, nobody loses an address because it is in no pool. */
  await(what: 'nothing' | 'quietly' | 'aloud'): void {
    if (this.#awaits === what) return;
    this.#awaits = what;
    this.#allDirty();
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
    this.#left.seen(service);
    this.#dirty.add(objectPath(service));
  }

  /** The write is sent: from now on the status may be that. */
  writeBegins({ service, addresses }: StatusWrite): void {
    this.#left.writeBegins(service, addresses);
  }

  /** `key` as in settled. After `unknown` it may still be taken, until doubtEnds(). */
  writeEnds(key: string, outcome: StatusWriteEnd): void {
    this.#left.writeEnds(key, outcome);
    this.#leaveAgain(key);
  }

  doubtEnds(key: string, resourceVersion: string): void {
    this.#left.doubtEnds(key, resourceVersion);
    this.#leaveAgain(key);
  }

  /** Whether a status has been seen without an address that others may wait for. */
  get hasFreed(): boolean {
    return this.#hasFreed;
  }

  /** Lets them be decided about; they are many, maybe, so not after each one that is freed. */
  giveFreed(): void {
    if (!this.#hasFreed) return;
    this.#hasFreed = false;
    this.#allocations.reservationsEnded();
    this.#waitersDirty('');
  }

  /** `namespace/name`. What it had is free, which others may have waited for. */
  removeService(key: string): void {
    this.#services.delete(key);
    this.#dirty.delete(key);
    this.#free(key);
    if (this.#left.forget(key)) this.#hasFreed = true;
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
  decide(): Decided {
    const writes = new Map<string, StatusWrite>();
    const settled = new Set<string>();
    while (this.#dirty.size > 0) {
      const services = [...this.#dirty].flatMap((key) => this.#services.get(key) ?? []).sort(byPrecedence);
      this.#dirty.clear();
      for (const service of services) {
        const key = objectPath(service);
        const needed = this.#decideOne(service);
        if (needed === 'told') continue;
        writes.delete(key);
        settled.delete(key);
        if (needed === 'nothing') settled.add(key);
        else writes.set(key, needed);
      }
    }
    return { writes: [...writes.values()], settled: [...settled] };
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

  /** Whether its address is one that an allocator gave; one that has just started knows the status alone. */
  #had(service: ServiceRequest): boolean {
    const key = objectPath(service);
    if (this.#decisions.get(key)?.type === 'assigned' || this.#left.addressesOf(key).length > 0) return true;
    if (service.foreignStatus || !this.isOurs(service)) return false;
    const pools = [...this.#pools.values()];
    return service.assigned.some((address) => pools.some((pool) => poolHas(pool, address)));
  }

  /** `told`: as the last time, whose write may still wait to say why there is no address. */
  #decideOne(service: ServiceRequest): StatusWrite | 'nothing' | 'told' {
    const key = objectPath(service);
    if (!service.wants || !this.isOurs(service)) {
      // A Service that is no LoadBalancer any more loses its status with the API server; one of another class is not ours.
      const isLeft = !service.wants && service.assigned.length > 0 && this.#had(service);
      this.#decisions.delete(key);
      this.#free(key);
      if (isLeft) this.#leave(service, []);
      else if (this.#left.forget(key)) this.#hasFreed = true;
      return isLeft
        ? { service, addresses: [], decision: { type: 'refused', why: 'it is of another type' } }
        : 'nothing';
    }
    const before = this.#allocations.addressesOf(key);
    const doubted = this.#keptInDoubt(service, before.length > 0 ? before : service.assigned);
    const decision = doubted ?? this.#decision(service);
    // What another controller gave is not taken away for want of a pool that may yet come.
    if (service.foreignStatus && this.#awaits !== 'nothing' && (doubted || decision.type === 'refused'))
      return 'nothing';
    const addresses = decision.type === 'refused' ? (decision.kept ?? []) : decision.addresses;
    this.#allocations.assign(service, addresses);
    this.#leave(service, addresses);
    if (before.some((address) => !addresses.includes(address))) this.#waitersDirty(key);
    const last = this.#decisions.get(key);
    this.#decisions.set(key, decision);
    const isWritten = same(service.assigned, addresses) && !service.foreignStatus;
    const isTold = last !== undefined && JSON.stringify(last) === JSON.stringify(decision);
    if (!isWritten) return { service, addresses, decision };
    if (decision.type === 'assigned') return 'nothing';
    return isTold ? 'told' : { service, addresses, decision };
  }

  /** What it has, as it is, where that is in no pool that is known, and a pool may yet come, or come back. */
  #keptInDoubt(service: ServiceRequest, had: readonly IpAddress[]): AddressDecision | undefined {
    const strays = had.filter(
      (address) =>
        ![...this.#pools.values()].some((pool) => this.#serves(pool, service) && poolHas(pool, address)),
    );
    if (strays.length === 0) return undefined;
    // Each in a pool of its own, maybe: of both families that go together neither is lost.
    const homes = [...this.#gone.values()].filter((pool) => strays.some((address) => poolHas(pool, address)));
    const comesBack = strays.every((address) => homes.some((pool) => poolHas(pool, address)));
    if (!comesBack && this.#awaits === 'nothing') return undefined;
    // Somebody else's they stay, whatever comes.
    if (
      had.some(
        (address) => this.#owners.has(address) || this.#allocations.conflict(address, service) !== undefined,
      )
    )
      return undefined;
    if (comesBack || this.#awaits === 'quietly')
      return { type: 'assigned', addresses: had, pool: homes.map(({ name }) => name).join(', ') };
    const why = this.hasPools
      ? `${strays.join(', ')} is in no pool that can be read`
      : 'there is no pool of addresses (IPAddressPool)';
    return { type: 'refused', why: `${why}; it keeps ${had.join(', ')} until there is one`, kept: had };
  }

  #serves(pool: AddressPool, { namespace, labels, pool: asked }: ServiceRequest): boolean {
    return (
      (asked === '' || asked === pool.name) &&
      poolAllows(pool, namespace, this.#namespaces.get(namespace) ?? {}, labels)
    );
  }

  #decision(service: ServiceRequest): AddressDecision {
    return decideAddresses(service, {
      pools: [...this.#pools.values()],
      allocations: this.#allocations,
      namespaceLabels: (name) => this.#namespaces.get(name) ?? {},
      takenBy: (address) => this.#owners.get(address) ?? this.#leftBy(address, service),
    });
  }

  /** Who has it already keeps it. */
  #leftBy(address: IpAddress, service: ServiceRequest): string | undefined {
    const has =
      service.assigned.includes(address) ||
      this.#allocations.addressesOf(objectPath(service)).includes(address);
    return has ? undefined : this.#left.whoStillHas(address, service);
  }

  #leave(service: ServiceRequest, addresses: readonly IpAddress[]): void {
    if (this.#left.leave(service, addresses)) this.#hasFreed = true;
  }

  #leaveAgain(key: string): void {
    const service = this.#services.get(key);
    if (service && this.#left.addressesOf(key).length > 0)
      this.#leave(service, this.#allocations.addressesOf(key));
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

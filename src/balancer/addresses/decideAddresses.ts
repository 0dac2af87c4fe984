/** One Service: which addresses shall it have? Pure; what it had already it keeps, as long as it may. */
import { familyOf, type IpAddress, type IpFamily } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Labels } from '../objects/LabelSelector.js';
import { type AddressPool, poolAllows, poolHas } from './AddressPool.js';
import { type AddressRange, inRange, isSubnetRouter, looksLikeNetwork } from './AddressRange.js';
import type { Allocations } from './Allocations.js';
import type { ServiceRequest } from './ServiceRequest.js';

export interface AddressWorld {
  readonly pools: readonly AddressPool[];
  readonly allocations: Allocations;
  /** In which order a Service tries the addresses of a range; absent: the free ones from the first on. */
  readonly candidates?: (range: AddressRange, service: ServiceRequest) => Iterable<IpAddress>;
  readonly namespaceLabels: (namespace: string) => Labels;
  /** Who has the address for another purpose, `node node1`, `the cluster IP of shop/cart`; undefined: nobody. */
  readonly takenBy: (address: IpAddress) => string | undefined;
}

export type AddressDecision =
  | { readonly type: 'assigned'; readonly addresses: readonly IpAddress[]; readonly pool: string }
  /** Nothing is given, and what it had is taken back but for `kept`. */
  | { readonly type: 'refused'; readonly why: string; readonly kept?: readonly IpAddress[] };

/** So many addresses of a pool that nobody has are looked at; one whose first million is of nodes is no honest one. */
const MOST_TRIES = 1 << 20;

export function decideAddresses(service: ServiceRequest, world: AddressWorld): AddressDecision {
  const [bad] = service.badAddresses;
  if (bad !== undefined) return refused(bad);
  const pools = poolsFor(service, world);
  if (typeof pools === 'string') return refused(pools);
  return service.addresses.length > 0 ? asked(service, pools, world) : chosen(service, pools, world);
}

/** The pools that may serve it, best first; or why there is none. */
function poolsFor(
  service: ServiceRequest,
  { pools, namespaceLabels }: AddressWorld,
): readonly AddressPool[] | string {
  if (pools.length === 0) return 'there is no pool of addresses (IPAddressPool)';
  const named = service.pool === '' ? pools : pools.filter(({ name }) => name === service.pool);
  if (named.length === 0) return `there is no pool ${JSON.stringify(service.pool)}; there are ${list(pools)}`;
  const allowed = named.filter((pool) =>
    poolAllows(pool, service.namespace, namespaceLabels(service.namespace), service.labels),
  );
  if (allowed.length === 0)
    return `no pool allows Services of this namespace and with these labels: ${list(named)}`;
  const rank = ({ priority }: AddressPool) => (priority === 0 ? Number.POSITIVE_INFINITY : priority);
  // Pools that choose their Services come before those that are for everybody, as in MetalLB.
  const isForAll = ({ namespaces, namespaceSelectors, serviceSelectors }: AddressPool) =>
    namespaces.length + namespaceSelectors.length + serviceSelectors.length === 0;
  return [...allowed].sort(
    (a, b) =>
      Number(isForAll(a)) - Number(isForAll(b)) || compare(rank(a), rank(b)) || (a.name < b.name ? -1 : 1),
  );
}

function compare(a: number, b: number): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function list(pools: readonly AddressPool[]): string {
  return pools.map(({ name }) => name).join(', ');
}

/** Every address that it asks for by name, or nothing. */
function asked(service: ServiceRequest, pools: readonly AddressPool[], world: AddressWorld): AddressDecision {
  const { addresses } = service;
  const families = addresses.map(familyOf);
  if (new Set(families).size < families.length) return refused('it asks for two addresses of one IP family');
  const wrong = families.find((family) => !service.families.includes(family));
  if (wrong !== undefined)
    return refused(`it asks for an address of ${wrong}, which is none of its ipFamilies`);
  for (const address of addresses) {
    if (!pools.some((pool) => poolHas(pool, address))) {
      const elsewhere = world.pools.find((pool) => poolHas(pool, address));
      return refused(
        elsewhere === undefined
          ? `${address} is in no pool`
          : `${address} is in the pool ${elsewhere.name}, which this Service may not use`,
      );
    }
    const why = whyNot(address, service, world);
    if (why !== undefined) return refused(why);
    if (!service.assigned.includes(address) && pools.every((pool) => isOfRouters(pool, address)))
      return refused(`${address} is the subnet-router anycast address of its network`);
  }
  return {
    type: 'assigned',
    addresses,
    pool: pools.find((pool) => poolHas(pool, addresses[0] as IpAddress))?.name ?? '',
  };
}

/** What it has, as far as it may have it; for what is missing the first free address of the best pool that has any. */
function chosen(
  service: ServiceRequest,
  pools: readonly AddressPool[],
  world: AddressWorld,
): AddressDecision {
  // A pool that is not for the asking serves those who ask for it; who has an address of it keeps it.
  const open = service.pool === '' ? pools.filter(({ autoAssign }) => autoAssign) : pools;
  const kept = [...service.assigned, ...world.allocations.addressesOf(objectPath(service))].filter(
    (address) =>
      pools.some((pool) => poolHas(pool, address)) && whyNot(address, service, world) === undefined,
  );
  // An address that is kept says which pool: both families come from one where that is possible.
  const home = pools.find((pool) => kept.some((address) => poolHas(pool, address)));
  const order = home === undefined ? open : [home, ...open.filter((pool) => pool !== home)];
  for (const pool of order.length === 0 ? [] : order) {
    const found = complete(service, kept, pool, world);
    if (found.length === service.families.length)
      return { type: 'assigned', addresses: found, pool: pool.name };
  }
  // No pool has all families: what can be had, unless it needs them all.
  const best = order
    .map((pool) => ({ pool, found: complete(service, kept, pool, world) }))
    .reduce<{ pool: AddressPool; found: readonly IpAddress[] } | undefined>(
      (most, each) => (each.found.length > (most?.found.length ?? 0) ? each : most),
      undefined,
    );
  if (best !== undefined && !service.needsAllFamilies) {
    return { type: 'assigned', addresses: best.found, pool: best.pool.name };
  }
  if (order.length === 0)
    return refused(`no pool gives addresses to who does not ask for it: ${list(pools)}`);
  const missing = service.families.filter(
    (f) => !(best?.found ?? []).some((address) => familyOf(address) === f),
  );
  return refused(`no address of ${missing.join(' and ')} is free in ${list(order)}`);
}

/** One address of each family, in the order of the families; those that could be had. */
function complete(
  service: ServiceRequest,
  kept: readonly IpAddress[],
  pool: AddressPool,
  world: AddressWorld,
): readonly IpAddress[] {
  return service.families.flatMap((family) => {
    const own = kept.find((address) => familyOf(address) === family);
    return own ?? firstFree(service, family, pool, world) ?? [];
  });
}

function firstFree(
  service: ServiceRequest,
  family: IpFamily,
  pool: AddressPool,
  world: AddressWorld,
): IpAddress | undefined {
  const usable = (address: IpAddress) =>
    !(pool.avoidBuggyIPs && looksLikeNetwork(address)) &&
    !isOfRouters(pool, address) &&
    whyNot(address, service, world) === undefined;
  const shared = world.allocations
    .sharedBy(service.sharingKey)
    .find((address) => familyOf(address) === family && poolHas(pool, address) && usable(address));
  if (shared !== undefined) return shared;
  let tries = 0;
  for (const range of pool.ranges) {
    if (range.family !== family) continue;
    for (const address of world.candidates?.(range, service) ?? world.allocations.free(range)) {
      if (++tries > MOST_TRIES) return undefined;
      if (usable(address)) return address;
    }
  }
  return undefined;
}

/** Unless one of the ranges that have it is that address alone. */
function isOfRouters({ ranges }: AddressPool, address: IpAddress): boolean {
  return ranges.every((range) => !inRange(range, address) || isSubnetRouter(range, address));
}

function whyNot(
  address: IpAddress,
  service: ServiceRequest,
  { allocations, takenBy }: AddressWorld,
): string | undefined {
  const owner = takenBy(address);
  if (owner !== undefined) return `${address} belongs to ${owner}`;
  return allocations.conflict(address, service);
}

function refused(why: string): AddressDecision {
  return { type: 'refused', why };
}

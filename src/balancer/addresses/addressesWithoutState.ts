/**
 * Addresses of pools for Services of manifests. Nobody writes a status there, and no node knows what another one decided: so the
 * objects alone decide, and equal objects come to equal addresses on every node, whatever came first and whoever was restarted.
 * Pure.
 */
import { murmur3 } from '../../balancing/murmur3.js';
import type { IpAddress } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Service } from '../../objects/Service.js';
import type { AddressPool } from './AddressPool.js';
import { type AddressRange, addressOf, sizeOf } from './AddressRange.js';
import { Allocations } from './Allocations.js';
import { type AddressDecision, decideAddresses } from './decideAddresses.js';
import type { ServiceRequest } from './ServiceRequest.js';

/**
 * By `namespace/name`, for the Services that ask for an address out of a pool. A Service begins to look where the hash of its name
 * points to, and takes the first address that is free; so a Service that comes or goes moves others only where they met. Whose turn it
 * is first the hash says too. `takenBy`: who has an address for another purpose.
 */
export function addressesWithoutState(
  services: Iterable<Service>,
  pools: readonly AddressPool[],
  takenBy: (address: IpAddress) => string | undefined,
): ReadonlyMap<string, AddressDecision> {
  const allocations = new Allocations();
  const asking: { readonly request: ServiceRequest; readonly turn: number; readonly path: string }[] = [];
  for (const service of services) {
    if (service.type !== 'LoadBalancer') continue;
    const request = requestOf(service);
    const path = objectPath(service);
    if (service.addressRequest) asking.push({ request, path, turn: murmur3(path, 1) });
    // Who names an address has it before everybody else.
    else allocations.assign(request, request.assigned);
  }
  asking.sort((a, b) => a.turn - b.turn || (a.path < b.path ? -1 : 1));
  const sorted = [...pools].sort((a, b) => (objectPath(a) < objectPath(b) ? -1 : 1));
  const world = {
    pools: sorted,
    allocations,
    candidates: freeFromOwnPlace(allocations),
    takenBy,
    namespaceLabels: () => ({}),
  };
  const decisions = new Map<string, AddressDecision>();
  for (const { request, path } of asking) {
    const decision = decideAddresses(request, world);
    decisions.set(path, decision);
    if (decision.type === 'assigned') allocations.assign(request, decision.addresses);
  }
  return decisions;
}

/**
 * The addresses of a range that nobody holds, from a place of the Service's own on, and round. What is held stays so while the decisions
 * are made: where it ends is remembered, or each Service that a full pool has no address for would look at all of it again.
 */
function freeFromOwnPlace(allocations: Allocations) {
  const skips = new Map<AddressRange, Map<bigint, bigint>>();

  /** The first free one from `number` on; after the last one when there is none. */
  function nextFree({ family, last }: AddressRange, skip: Map<bigint, bigint>, number: bigint): bigint {
    const passed: bigint[] = [];
    let at = number;
    for (;;) {
      const next = skip.get(at);
      if (next === undefined && (at > last || allocations.isFree(addressOf(family, at)))) break;
      passed.push(at);
      at = next ?? at + 1n;
    }
    for (const each of passed) skip.set(each, at);
    return at;
  }

  return function* (range: AddressRange, service: ServiceRequest): Generator<IpAddress> {
    const { family, first, last } = range;
    const skip = skips.get(range) ?? new Map<bigint, bigint>();
    skips.set(range, skip);
    const start = first + (BigInt(murmur3(`${objectPath(service)} ${family}`, 0)) % sizeOf(range));
    for (let at = nextFree(range, skip, start); at <= last; at = nextFree(range, skip, at + 1n))
      yield addressOf(family, at);
    for (let at = nextFree(range, skip, first); at < start; at = nextFree(range, skip, at + 1n))
      yield addressOf(family, at);
  };
}

function requestOf(service: Service): ServiceRequest {
  const { namespace, name, created, labels = {}, ports, loadBalancerIngress, addressRequest } = service;
  return {
    namespace,
    name,
    resourceVersion: '',
    created,
    labels,
    wants: true,
    loadBalancerClass: '',
    families: addressRequest?.families ?? [],
    needsAllFamilies: addressRequest?.needsAllFamilies ?? false,
    addresses: [],
    badAddresses: [],
    pool: addressRequest?.pool ?? '',
    sharingKey: addressRequest?.sharingKey ?? '',
    ports: ports.map(({ protocol, port }) => `${protocol}/${port}`),
    assigned: addressRequest ? [] : loadBalancerIngress.map(({ ip }) => ip),
    foreignStatus: false,
  };
}

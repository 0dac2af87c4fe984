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
import { type AddressRange, numberedAddresses, sizeOf } from './AddressRange.js';
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
  const world = { pools: sorted, allocations, candidates, takenBy, namespaceLabels: () => ({}) };
  const decisions = new Map<string, AddressDecision>();
  for (const { request, path } of asking) {
    const decision = decideAddresses(request, world);
    decisions.set(path, decision);
    if (decision.type === 'assigned') allocations.assign(request, decision.addresses);
  }
  return decisions;
}

/** All addresses of the range, from a place of the Service's own on, and round. */
function* candidates(range: AddressRange, service: ServiceRequest): Generator<IpAddress> {
  const offset = BigInt(murmur3(`${objectPath(service)} ${range.family}`, 0)) % sizeOf(range);
  const start = range.first + offset;
  for (const { address } of numberedAddresses(range, start)) yield address;
  for (const { address, number } of numberedAddresses(range, range.first)) {
    if (number === start) return;
    yield address;
  }
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

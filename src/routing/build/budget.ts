/**
 * How much one Service may cost in one family. An object of some kilobytes can ask for ports × endpoints × addresses, and
 * every mode has to write that product; what is over the budget is left out of this Service alone, and said.
 */
import type { Service } from '../../objects/Service.js';
import type { WantedVips } from '../claims/wantedVips.js';
import type { PortEndpoints } from './ServiceEndpoints.js';

/** Ports × endpoints. */
export const MOST_PAIRS_OF_ENDPOINTS = 131_072;
/** Ports × endpoints × addresses: some 1.5 s of work for the kernel. */
export const MOST_ENTRIES = 524_288;

export interface Allowance {
  /** Endpoints of each port; infinite when there is room for all. */
  readonly endpoints: number;
  readonly vips: WantedVips;
  readonly remarks: readonly string[];
}

const NO_REMARKS: readonly string[] = [];
const NO_LIMIT = Number.POSITIVE_INFINITY;

export function allowance(
  service: Service,
  endpoints: PortEndpoints | undefined,
  wanted: WantedVips,
): Allowance {
  const { ports } = service;
  const addresses = wanted.loadBalancerIPs.length + wanted.externalIPs.length;
  // Nearly all need no closer look.
  const most = ports.length * (endpoints?.mostOfPort ?? 0) * (1 + addresses);
  if (most <= MOST_PAIRS_OF_ENDPOINTS) return { endpoints: NO_LIMIT, vips: wanted, remarks: NO_REMARKS };
  const pairs = ports.reduce((sum, { name, protocol }) => sum + (endpoints?.count(name, protocol) ?? 0), 0);
  if (pairs * (1 + addresses) <= MOST_PAIRS_OF_ENDPOINTS)
    return { endpoints: NO_LIMIT, vips: wanted, remarks: NO_REMARKS };

  const remarks: string[] = [];
  const isOver = pairs > MOST_PAIRS_OF_ENDPOINTS;
  const limit = isOver ? Math.max(1, Math.floor(MOST_PAIRS_OF_ENDPOINTS / ports.length)) : NO_LIMIT;
  if (isOver) {
    remarks.push(
      `${ports.length} ports with ${pairs} endpoints in sum are more than one Service may have ` +
        `(${MOST_PAIRS_OF_ENDPOINTS}): only ${limit} endpoints of each port are used; use several Services`,
    );
  }
  // A step at powers of two: addresses must not come and go with every endpoint.
  const room = Math.floor(MOST_ENTRIES / powerOfTwoAbove(Math.min(pairs, MOST_PAIRS_OF_ENDPOINTS)));
  if (addresses <= room) return { endpoints: limit, vips: wanted, remarks };
  const loadBalancerIPs = wanted.loadBalancerIPs.slice(0, room);
  const externalIPs = wanted.externalIPs.slice(0, room - loadBalancerIPs.length);
  remarks.push(
    `${addresses - room} of its external and load-balancer IPs are not served: with ${ports.length} ports and ${pairs} ` +
      `endpoints in sum there is room for ${room} (${MOST_ENTRIES} in product); use fewer, or several Services`,
  );
  return { endpoints: limit, vips: { ...wanted, loadBalancerIPs, externalIPs }, remarks };
}

function powerOfTwoAbove(number: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, number)));
}

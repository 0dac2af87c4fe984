/** The addresses that a Service asks for in one family, before anybody else is asked. Pure. */
import { type Cidr, cidrContains, familyOf, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { Service } from '../../objects/Service.js';

/**
 * External and load-balancer IPs × ports of one Service and family. Each pair costs every mode an entry, and a small object
 * could ask for millions: 1,200 addresses and 600 ports fit into 38 kB.
 */
export const MOST_PAIRS = 4096;

const NONE: readonly never[] = [];

export interface WantedVips {
  readonly clusterIP: IpAddress | undefined;
  readonly loadBalancerIPs: readonly IpAddress[];
  readonly externalIPs: readonly IpAddress[];
  /** What is left out and why: one sentence each. */
  readonly remarks: readonly string[];
}

/** `ranges`: the ServiceCIDRs, as far as they are known. */
export function wantedVips(service: Service, family: IpFamily, ranges: readonly Cidr[]): WantedVips {
  const clusterIP = service.clusterIPs[family];
  if (service.externalIPs.length === 0 && service.loadBalancerIngress.length === 0)
    return { clusterIP, loadBalancerIPs: NONE, externalIPs: NONE, remarks: NONE };

  const remarks: string[] = [];
  const external = unique(service.externalIPs.filter((ip) => familyOf(ip) === family));
  const allowed = external.filter((ip) => {
    const range = ip === clusterIP ? undefined : ranges.find((cidr) => cidrContains(cidr, ip));
    if (range !== undefined) remarks.push(withinRange(ip, range));
    return range === undefined;
  });
  const loadBalancerIPs = unique(vipIngress(service, family));
  const room = Math.max(1, Math.floor(MOST_PAIRS / Math.max(1, service.ports.length)));
  const fromBalancer = loadBalancerIPs.slice(0, room);
  const externalIPs = allowed.slice(0, Math.max(0, room - fromBalancer.length));
  const left = loadBalancerIPs.length + allowed.length - fromBalancer.length - externalIPs.length;
  if (left > 0) remarks.push(tooMany(left, service.ports.length, room));
  return { clusterIP, loadBalancerIPs: fromBalancer, externalIPs, remarks: shortened(remarks) };
}

function vipIngress(service: Service, family: IpFamily): readonly IpAddress[] {
  return service.loadBalancerIngress
    .filter((i) => i.ipMode === 'VIP' && familyOf(i.ip) === family)
    .map((i) => i.ip);
}

function withinRange(ip: IpAddress, range: Cidr): string {
  return (
    `spec.externalIPs names ${ip}, which lies in the ServiceCIDR ${range}: ` +
    'such addresses are cluster IPs, which the API server alone gives out; it is not served'
  );
}

function tooMany(left: number, ports: number, room: number): string {
  return (
    `${left} of its external and load-balancer IPs are not served: with ${ports} ports there is room for ${room} ` +
    `(${MOST_PAIRS} pairs of address and port); use fewer of either, or several Services`
  );
}

const SHOWN = 10;

/** One object must not flood the log. */
function shortened(remarks: readonly string[]): readonly string[] {
  if (remarks.length <= SHOWN) return remarks;
  return [...remarks.slice(0, SHOWN), `and ${remarks.length - SHOWN} more addresses are not served`];
}

function unique<T>(list: readonly T[]): readonly T[] {
  return list.length < 2 ? list : [...new Set(list)];
}

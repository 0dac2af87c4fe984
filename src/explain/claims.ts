/** Who asks for an address and port, and who gets it. */
import type { IpFamily } from '../net/ip.js';
import type { Service, ServicePortSpec } from '../objects/Service.js';
import { contains, ofFamily } from './addresses.js';
import type { Flow, World } from './World.js';

/** What an address is to a Service. */
export type AddressKind = 'cluster IP' | 'external IP' | 'load-balancer IP' | 'node port';

/** One port of one Service. */
export interface Candidate {
  readonly service: Service;
  readonly port: ServicePortSpec;
}

/** Everybody who asks for the destination of a flow as a VIP, or for its node port: the winner first. */
export interface Claims {
  readonly vip: readonly Candidate[];
  readonly nodePort: readonly Candidate[];
  /** Those who ask for it as a VIP and may not have it, whoever else asks. */
  readonly barred: readonly BarredClaim[];
}

export interface BarredClaim {
  readonly candidate: Candidate;
  /** Whose cluster IP it is, or whose node port. */
  readonly by: Candidate;
}

export function isServed(world: World, service: Service, family: IpFamily): boolean {
  return (
    (service.proxyName ?? '') === (world.serviceProxyName ?? '') &&
    service.type !== 'ExternalName' &&
    !service.headless &&
    isAddressed(service, family)
  );
}

/** In the families of its cluster IPs; without any, where it has another address, and node ports in both. */
function isAddressed(service: Service, family: IpFamily): boolean {
  if (Object.keys(service.clusterIPs).length > 0) return service.clusterIPs[family] !== undefined;
  if (service.ipFamilies && !service.ipFamilies.includes(family)) return false;
  const others = ofFamily<string>([...service.externalIPs, ...loadBalancerIPs(service)], family);
  return others.length > 0 || service.ports.some((port) => port.nodePort !== 0);
}

export function claimsOf(
  world: World,
  family: IpFamily,
  flow: Pick<Flow, 'protocol' | 'destination' | 'port'>,
): Claims {
  const { destination } = flow;
  const vip: Candidate[] = [];
  const nodePort: Candidate[] = [];
  const holders: Candidate[] = [];
  for (const service of world.services) {
    for (const port of service.ports) {
      const isHolder = service.clusterIPs[family] === destination;
      const isVip = port.port === flow.port && kindsOf(world, service, family, destination).length > 0;
      const isNodePort = port.nodePort !== 0 && port.nodePort === flow.port;
      if (!(isHolder || isVip || isNodePort) || !isServed(world, service, family)) continue;
      if (isHolder) holders.push({ service, port });
      if (port.protocol !== flow.protocol) continue;
      if (isVip) vip.push({ service, port });
      if (isNodePort) nodePort.push({ service, port });
    }
  }
  const rank = (candidate: Candidate) => rankOf(world, candidate, family, destination);
  vip.sort((a, b) => rank(a) - rank(b) || byAge(a, b));
  nodePort.sort(byAge);
  const barred: BarredClaim[] = [];
  const free = vip.filter((candidate) => {
    const by =
      cluster(candidate, holders) ??
      nodePortBefore(world, candidate, rank(candidate), nodePort[0], destination);
    if (by) barred.push({ candidate, by });
    return by === undefined;
  });
  // Who is barred has won all the same: nobody gets what it asked for.
  const isWon = barred.some(({ candidate }) => candidate === vip[0]);
  return { vip: isWon ? [] : free, nodePort, barred };
}

/** What is a Service's cluster IP is nobody else's on any port, unless it is the Service's own too. */
function cluster({ service }: Candidate, holders: readonly Candidate[]): Candidate | undefined {
  return holders.some((holder) => holder.service === service) ? undefined : holders[0];
}

/** On an address of the node node ports are asked for too; they rank as load-balancer IPs do. */
function nodePortBefore(
  world: World,
  candidate: Candidate,
  rank: number,
  nodePort: Candidate | undefined,
  address: string,
): Candidate | undefined {
  if (nodePort === undefined || rank === 0 || !Object.values(world.nodeAddresses).includes(address))
    return undefined;
  if (nodePort.service === candidate.service && nodePort.port === candidate.port) return undefined;
  return rank === 1 && byAge(candidate, nodePort) < 0 ? undefined : nodePort;
}

/** Cluster IPs are given by the API server, load-balancer IPs are assigned, external IPs anybody may write. */
function rankOf(world: World, { service }: Candidate, family: IpFamily, address: string): number {
  const kinds = kindsOf(world, service, family, address);
  if (kinds.includes('cluster IP')) return 0;
  return kinds.includes('load-balancer IP') ? 1 : 2;
}

/** Whether this port of the Service gets the address that it asks for. */
export function owns(world: World, family: IpFamily, candidate: Candidate, address: string): boolean {
  const { protocol, port } = candidate.port;
  const [winner] = claimsOf(world, family, { protocol, port, destination: address }).vip;
  return winner?.service === candidate.service && winner.port === candidate.port;
}

/** What the address is to the Service; it may be several things at once. */
export function kindsOf(
  world: World,
  service: Service,
  family: IpFamily,
  address: string,
): readonly AddressKind[] {
  const kinds: AddressKind[] = [];
  if (service.clusterIPs[family] === address) kinds.push('cluster IP');
  if (externalIPs(world, service, family).includes(address)) kinds.push('external IP');
  if (loadBalancerIPs(service).includes(address)) kinds.push('load-balancer IP');
  return kinds;
}

export function vipsOf(world: World, service: Service, family: IpFamily): readonly string[] {
  const clusterIP = service.clusterIPs[family];
  const others = ofFamily([...externalIPs(world, service, family), ...loadBalancerIPs(service)], family);
  return clusterIP === undefined ? others : [clusterIP, ...others];
}

/** Those inside of a ServiceCIDR are not served, but for the Service's own cluster IP. */
function externalIPs(world: World, service: Service, family: IpFamily): readonly string[] {
  const ranges = world.serviceCIDRs ?? [];
  return service.externalIPs.filter(
    (ip) => ip === service.clusterIPs[family] || !ranges.some((range) => contains(range, ip)),
  );
}

export function loadBalancerIPs(service: Service): readonly string[] {
  return service.loadBalancerIngress.filter((i) => i.ipMode === 'VIP').map((i) => i.ip);
}

/** External policy Local means nothing for a Service that is for the cluster only. */
export function staysOnNode(service: Service): boolean {
  const external = service.type !== 'ClusterIP' || service.externalIPs.length > 0;
  return external && service.externalTrafficPolicy === 'Local';
}

/** The older Service first; without a time last; then by name; then by place in the Service. */
export function byAge(a: Candidate, b: Candidate): number {
  if (a.service === b.service) return a.service.ports.indexOf(a.port) - b.service.ports.indexOf(b.port);
  const [x, y] = [a.service.created ?? Number.MAX_VALUE, b.service.created ?? Number.MAX_VALUE];
  if (x !== y) return x - y;
  return pathOf(a.service) < pathOf(b.service) ? -1 : 1;
}

export function pathOf(service: Pick<Service, 'namespace' | 'name'>): string {
  return `${service.namespace}/${service.name}`;
}

/** `shop/cart:http`, `shop/cart` for a port without a name. */
export function nameOf({ service, port }: Candidate): string {
  return port.name === '' ? pathOf(service) : `${pathOf(service)}:${port.name}`;
}

/** Who asks for an address and port, and who gets it. */
import type { IpFamily } from '../net/ip.js';
import type { Service, ServicePortSpec } from '../objects/Service.js';
import { ofFamily } from './addresses.js';
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
}

export function isServed(world: World, service: Service, family: IpFamily): boolean {
  return (
    (service.proxyName ?? '') === (world.serviceProxyName ?? '') &&
    service.type !== 'ExternalName' &&
    !service.headless &&
    service.clusterIPs[family] !== undefined
  );
}

export function claimsOf(
  world: World,
  family: IpFamily,
  flow: Pick<Flow, 'protocol' | 'destination' | 'port'>,
): Claims {
  const vip: Candidate[] = [];
  const nodePort: Candidate[] = [];
  for (const service of world.services) {
    for (const port of service.ports) {
      if (port.protocol !== flow.protocol) continue;
      const isVip = port.port === flow.port && vipsOf(service, family).includes(flow.destination);
      const isNodePort = port.nodePort !== 0 && port.nodePort === flow.port;
      if (!isVip && !isNodePort) continue;
      if (!isServed(world, service, family)) continue;
      if (isVip) vip.push({ service, port });
      if (isNodePort) nodePort.push({ service, port });
    }
  }
  return { vip: vip.sort(byAge), nodePort: nodePort.sort(byAge) };
}

/** Whether this port of the Service gets the address that it asks for. */
export function owns(world: World, family: IpFamily, candidate: Candidate, address: string): boolean {
  const { protocol, port } = candidate.port;
  const [winner] = claimsOf(world, family, { protocol, port, destination: address }).vip;
  return winner?.service === candidate.service && winner.port === candidate.port;
}

/** What the address is to the Service; it may be several things at once. */
export function kindsOf(service: Service, family: IpFamily, address: string): readonly AddressKind[] {
  const kinds: AddressKind[] = [];
  if (service.clusterIPs[family] === address) kinds.push('cluster IP');
  if ((service.externalIPs as readonly string[]).includes(address)) kinds.push('external IP');
  if (loadBalancerIPs(service).includes(address)) kinds.push('load-balancer IP');
  return kinds;
}

export function vipsOf(service: Service, family: IpFamily): readonly string[] {
  const clusterIP = service.clusterIPs[family];
  const others = ofFamily<string>([...service.externalIPs, ...loadBalancerIPs(service)], family);
  return clusterIP === undefined ? others : [clusterIP, ...others];
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

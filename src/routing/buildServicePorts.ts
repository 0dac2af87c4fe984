/**
 * From a Service and its endpoints to the service ports of one family. Pure. What a service port gets is what the
 * Service asks for, less the addresses that belong to an older Service.
 */
import type { Balancing } from '../balancing/Balancing.js';
import { type Cidr, cidrContains, familyOf, type IpAddress, type IpFamily, prefixLength } from '../net/ip.js';
import type { Service, ServicePortSpec } from '../objects/Service.js';
import type { NodeFacts } from './NodeFacts.js';
import type { ServiceEndpoints } from './ServiceEndpoints.js';
import { isExternallyAccessible, type ServicePort } from './ServicePort.js';
import { selectEndpoints } from './selectEndpoints.js';
import { VipClaims } from './VipClaims.js';

/** Most Services have none of most things. */
const NONE: readonly never[] = [];

/** Whether penstock programs the Service in the family at all. */
export function isRouted(service: Service, family: IpFamily, proxyName: string): boolean {
  return (
    (service.proxyName ?? '') === proxyName &&
    service.type !== 'ExternalName' &&
    !service.headless &&
    service.clusterIPs[family] !== undefined
  );
}

/** Every address and port that the Service's port asks for, each once, as keys of VipClaims. */
export function claimKeys(service: Service, port: ServicePortSpec, family: IpFamily): readonly string[] {
  const clusterIP = service.clusterIPs[family];
  const vips = [
    ...(clusterIP === undefined ? [] : [clusterIP]),
    ...service.externalIPs.filter((ip) => familyOf(ip) === family),
    ...vipIngress(service, family),
  ];
  const keys = vips.map((ip) => VipClaims.vipKey(ip, port.protocol, port.port));
  if (port.nodePort !== 0) keys.push(VipClaims.nodePortKey(port.protocol, port.nodePort));
  return unique(keys);
}

/** What belongs to a Service and is not in it. */
export interface ServiceExtras {
  /** undefined when there are no slices. */
  readonly endpoints: ServiceEndpoints | undefined;
  readonly balancing: Balancing;
}

/** `owns` says whether this port of the Service won the claim. */
export function buildServicePort(
  service: Service,
  port: ServicePortSpec,
  family: IpFamily,
  { endpoints, balancing }: ServiceExtras,
  node: NodeFacts,
  owns: (claimKey: string) => boolean,
): ServicePort {
  const ownsVip = (ip: IpAddress) => owns(VipClaims.vipKey(ip, port.protocol, port.port));
  const wanted = service.clusterIPs[family];
  const clusterIP = wanted !== undefined && ownsVip(wanted) ? wanted : undefined;
  const nodePort =
    port.nodePort !== 0 && owns(VipClaims.nodePortKey(port.protocol, port.nodePort)) ? port.nodePort : 0;
  const externalIPs = unique(service.externalIPs.filter((ip) => familyOf(ip) === family && ownsVip(ip)));
  const loadBalancerIPs = unique(vipIngress(service, family).filter(ownsVip));
  const sourceRanges = restrictions(service.loadBalancerSourceRanges, family);
  const address = node.addresses[family];
  const accessible = isExternallyAccessible({ nodePort, externalIPs, loadBalancerIPs });
  const mayBeExternal = service.type !== 'ClusterIP' || service.externalIPs.length > 0;
  const externalLocal = mayBeExternal && service.externalTrafficPolicy === 'Local';
  const internalLocal = service.internalTrafficPolicy === 'Local';
  const path = `${service.namespace}/${service.name}`;
  const name = port.name === '' ? path : `${path}:${port.name}`;
  return {
    key: `${name}/${port.protocol}`,
    name,
    family,
    namespace: service.namespace,
    service: service.name,
    portName: port.name,
    protocol: port.protocol,
    clusterIP,
    port: port.port,
    nodePort,
    externalIPs,
    loadBalancerIPs,
    sourceRanges,
    nodeInSourceRanges: address !== undefined && sourceRanges.some((range) => cidrContains(range, address)),
    internalPolicy: internalLocal ? 'Local' : 'Cluster',
    externalPolicy: externalLocal ? 'Local' : 'Cluster',
    affinitySeconds: service.affinitySeconds,
    healthCheckNodePort: service.type === 'LoadBalancer' && externalLocal ? service.healthCheckNodePort : 0,
    options: service.options,
    balancing,
    endpoints: selectEndpoints(
      endpoints?.endpointsOf(family, port.name, port.protocol, node.name) ?? [],
      { cluster: !internalLocal || accessible, local: internalLocal || (externalLocal && accessible) },
      node,
    ),
  };
}

function vipIngress(service: Service, family: IpFamily): readonly IpAddress[] {
  if (service.loadBalancerIngress.length === 0) return NONE;
  return service.loadBalancerIngress
    .filter((i) => i.ipMode === 'VIP' && familyOf(i.ip) === family)
    .map((i) => i.ip);
}

/** A range that contains everything lifts the restriction. */
function restrictions(ranges: readonly Cidr[], family: IpFamily): readonly Cidr[] {
  if (ranges.length === 0) return NONE;
  const ours = unique(ranges.filter((range) => familyOf(range) === family));
  return ours.some((range) => prefixLength(range) === 0) ? [] : ours;
}

function unique<T>(list: readonly T[]): readonly T[] {
  return list.length < 2 ? list : [...new Set(list)];
}

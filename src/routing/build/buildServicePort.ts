/** From a Service, the addresses that it has, and its endpoints to the service ports of one family. Pure. */
import type { Balancing } from '../../balancing/Balancing.js';
import { type Cidr, cidrContains, familyOf, type IpFamily, prefixLength } from '../../net/ip.js';
import { isAddressed } from '../../objects/isAddressed.js';
import type { Service, ServicePortSpec } from '../../objects/Service.js';
import type { ServedAddresses } from '../claims/servedAddresses.js';
import type { NodeFacts } from '../NodeFacts.js';
import {
  type Endpoint,
  isExternallyAccessible,
  type ServicePort,
  servicePortKey,
  servicePortName,
} from '../ServicePort.js';
import { selectEndpoints } from './selectEndpoints.js';

/** Most Services have none of most things. */
const NONE: readonly never[] = [];

/** Whether penstock programs the Service in the family at all. */
export function isRouted(service: Service, family: IpFamily, proxyName: string): boolean {
  return (
    (service.proxyName ?? '') === proxyName &&
    service.type !== 'ExternalName' &&
    !service.headless &&
    isAddressed(service, family)
  );
}

/** What of a service port is neither in the Service nor in its port. */
export interface PortFacts {
  /** `namespace/name` of the Service. */
  readonly path: string;
  readonly served: ServedAddresses;
  /** Sorted by target, each once. */
  readonly endpoints: readonly Endpoint[];
  readonly balancing: Balancing;
}

export function buildServicePort(
  service: Service,
  port: ServicePortSpec,
  family: IpFamily,
  { path, served, endpoints, balancing }: PortFacts,
  node: NodeFacts,
): ServicePort {
  const { clusterIP, nodePort, externalIPs, loadBalancerIPs } = served;
  const sourceRanges = restrictions(service.loadBalancerSourceRanges, family);
  const address = node.addresses[family];
  const accessible = isExternallyAccessible({ nodePort, externalIPs, loadBalancerIPs });
  const mayBeExternal = service.type !== 'ClusterIP' || service.externalIPs.length > 0;
  const externalLocal = mayBeExternal && service.externalTrafficPolicy === 'Local';
  const internalLocal = service.internalTrafficPolicy === 'Local';
  return {
    key: servicePortKey(path, port.name, port.protocol),
    name: servicePortName(path, port.name),
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
      endpoints,
      { cluster: !internalLocal || accessible, local: internalLocal || (externalLocal && accessible) },
      node,
    ),
  };
}

/** A range that contains everything lifts the restriction. */
function restrictions(ranges: readonly Cidr[], family: IpFamily): readonly Cidr[] {
  if (ranges.length === 0) return NONE;
  const ours = [...new Set(ranges.filter((range) => familyOf(range) === family))];
  return ours.some((range) => prefixLength(range) === 0) ? [] : ours;
}

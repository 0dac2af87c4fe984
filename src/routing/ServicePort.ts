/**
 * One port of one Service in one IP family, with the endpoints that may serve it: the row of the routing table,
 * and all that a dataplane needs to know. Behaviour: kube-proxy 1.36, KEP-1669 (terminating endpoints),
 * KEP-2086 (internal traffic policy), KEP-2433 (topology hints).
 */
import type { Balancing } from '../balancing/Balancing.js';
import type { Cidr, IpAddress, IpFamily } from '../net/ip.js';
import { flat } from '../objects/intern.js';
import type { Protocol, TrafficPolicy } from '../objects/Service.js';

export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
  /** `10.0.0.1:80`, `[fd00::1]:80`: unique among the endpoints of a service port, and their sort key. */
  readonly target: string;
  /** Runs on this node. */
  readonly local: boolean;
  /**
   * Runs on this node, or may: nobody said where it runs (only manifests leave that open), or slices of the Service contradict
   * each other about its address and one of them says that it is here. Who reaches itself is told by that.
   */
  readonly mayBeHere: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

/** The result of endpoint selection. Every list is sorted by `target`. */
export interface EndpointSets {
  /** All endpoints, whatever their condition. */
  readonly all: readonly Endpoint[];
  /** Who serves under policy Cluster. Empty when no traffic of the service port can use policy Cluster. */
  readonly cluster: readonly Endpoint[];
  /** Who serves under policy Local. Empty when no traffic of the service port can use policy Local. */
  readonly local: readonly Endpoint[];
  /** The union of both: every endpoint that some packet may be sent to. */
  readonly reachable: readonly Endpoint[];
  /** Who serves the cluster IP, where that is nobody of the policies: the cluster IP itself, in mode userspace. */
  readonly internal?: readonly Endpoint[];
  /** Whether any endpoint anywhere can serve; decides between reject and drop. */
  readonly any: boolean;
}

export interface ServicePort {
  /** `namespace/service:portName/TCP`: unique in a family. */
  readonly key: string;
  /** `namespace/service:portName`, or `namespace/service` for an unnamed port. Not unique: no protocol. */
  readonly name: string;
  readonly family: IpFamily;
  readonly namespace: string;
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  /** Undefined when the cluster IP and port belong to an older Service. */
  readonly clusterIP: IpAddress | undefined;
  readonly port: number;
  /** 0 for none. */
  readonly nodePort: number;
  readonly externalIPs: readonly IpAddress[];
  readonly loadBalancerIPs: readonly IpAddress[];
  /** Who may use the load-balancer IPs. Empty: everybody. */
  readonly sourceRanges: readonly Cidr[];
  /** Whether the source ranges contain an address of this node. */
  readonly nodeInSourceRanges: boolean;
  readonly internalPolicy: TrafficPolicy;
  /** Local only if the service is reachable from outside at all. */
  readonly externalPolicy: TrafficPolicy;
  /** Client IP affinity in seconds; undefined for none. */
  readonly affinitySeconds: number | undefined;
  /** 0 for none. */
  readonly healthCheckNodePort: number;
  /** Annotations `penstock.io/…` of the Service, without the prefix. */
  readonly options: Readonly<Record<string, string>>;
  /** How connections are shared out among the endpoints: what `options` say of it, read. */
  readonly balancing: Balancing;
  readonly endpoints: EndpointSets;
}

/** ServicePort.key. `path`: `namespace/name` of the Service. */
export function servicePortKey(path: string, portName: string, protocol: Protocol): string {
  return flat(`${servicePortName(path, portName)}/${protocol}`);
}

/** ServicePort.name. */
export function servicePortName(path: string, portName: string): string {
  return portName === '' ? path : flat(`${path}:${portName}`);
}

/** What happens to a new connection: to an endpoint, refused, or silently dropped. */
export type Verdict = 'forward' | 'reject' | 'drop';

export function isExternallyAccessible(
  port: Pick<ServicePort, 'nodePort' | 'loadBalancerIPs' | 'externalIPs'>,
): boolean {
  return port.nodePort !== 0 || port.loadBalancerIPs.length > 0 || port.externalIPs.length > 0;
}

/** For the cluster IP. No endpoints anywhere: reject. Only none on this node under policy Local: drop. */
export function internalVerdict(port: ServicePort): Verdict {
  if (!port.endpoints.any) return 'reject';
  return port.internalPolicy === 'Local' && port.endpoints.local.length === 0 ? 'drop' : 'forward';
}

/** For external IPs, load-balancer IPs and node ports, for clients outside the cluster. */
export function externalVerdict(port: ServicePort): Verdict {
  if (!port.endpoints.any) return 'reject';
  return port.externalPolicy === 'Local' && port.endpoints.local.length === 0 ? 'drop' : 'forward';
}

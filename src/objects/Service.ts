/**
 * The part of a v1 Service that penstock uses, validated and with canonical addresses.
 * Source of the fields: Kubernetes API core/v1 ServiceSpec, ServiceStatus.
 */
import type { Cidr, IpAddress, IpFamily } from '../net/ip.js';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** `Cluster`: any endpoint may serve. `Local`: only endpoints on this node. */
export type TrafficPolicy = 'Cluster' | 'Local';

export type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';

export interface ServicePortSpec {
  /** '' when the port has no name. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1..65535 */
  readonly port: number;
  /** 1..65535, or 0 for none. */
  readonly nodePort: number;
}

export interface LoadBalancerIngress {
  readonly ip: IpAddress;
  /** `VIP`: nodes take the traffic themselves. `Proxy`: the load balancer must see it. */
  readonly ipMode: 'VIP' | 'Proxy';
}

/** Of manifests: an address out of a pool is asked for, as none is named. */
export interface AddressRequest {
  /** '' for any. */
  readonly pool: string;
  /** Services with the same key, and other ports, may share an address; '' for none. */
  readonly sharingKey: string;
  readonly families: readonly IpFamily[];
  /** Every family must be had, or the Service gets nothing. */
  readonly needsAllFamilies: boolean;
}

export interface Service {
  readonly kind: 'Service';
  readonly namespace: string;
  readonly name: string;
  /** '' when the object carries none (manifests). */
  readonly uid: string;
  /** metadata.creationTimestamp in milliseconds since the epoch; undefined when absent. */
  readonly created: number | undefined;
  /** Value of the label service.kubernetes.io/service-proxy-name; undefined when absent. */
  readonly proxyName: string | undefined;
  /** Annotations whose key begins with `penstock.io/`, without that prefix. */
  readonly options: Readonly<Record<string, string>>;
  /** All labels, of type LoadBalancer only: advertisements select by them. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly type: ServiceType;
  /** True when spec.clusterIP is `None`. */
  readonly headless: boolean;
  /** The cluster IP of each family that has one. */
  readonly clusterIPs: Readonly<Partial<Record<IpFamily, IpAddress>>>;
  /** spec.ipFamilies; undefined when absent. */
  readonly ipFamilies?: readonly IpFamily[];
  readonly ports: readonly ServicePortSpec[];
  readonly externalIPs: readonly IpAddress[];
  readonly loadBalancerIngress: readonly LoadBalancerIngress[];
  readonly addressRequest?: AddressRequest;
  readonly loadBalancerSourceRanges: readonly Cidr[];
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  /** Client IP affinity timeout in seconds (1..86400), or undefined for no affinity. */
  readonly affinitySeconds: number | undefined;
  /** 1..65535, or 0 for none. */
  readonly healthCheckNodePort: number;
}

/** Synthetic clusters: services × endpoints, one service port each, IPv4, deterministic. */

import type { IptablesOptions } from '../src/dataplane/iptables/IptablesOptions.js';
import { type Cidr, type IpAddress, parseCidr } from '../src/net/ip.js';
import type { EndpointSlice, SliceEndpoint } from '../src/objects/EndpointSlice.js';
import type { Service } from '../src/objects/Service.js';

export const CLUSTER_CIDR = parseCidr('10.0.0.0/8') as Cidr;

export const BENCH_OPTIONS: IptablesOptions = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortAddresses: [],
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: CLUSTER_CIDR } },
  syncPeriodMs: 30_000,
};

const ADDRESS = (base: string, n: number) => `${base}.${n >>> 16}.${(n >>> 8) & 255}.${n & 255}` as IpAddress;

export function service(n: number): Service {
  return {
    kind: 'Service',
    namespace: 'bench',
    name: `service-${n}`,
    uid: '',
    created: undefined,
    proxyName: undefined,
    options: {},
    type: 'ClusterIP',
    headless: false,
    clusterIPs: { IPv4: ADDRESS('172', 30 * 65_536 + n + 1) },
    ports: [{ name: 'http', protocol: 'TCP', port: 80, nodePort: 0 }],
    externalIPs: [],
    loadBalancerIngress: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    affinitySeconds: undefined,
    healthCheckNodePort: 0,
  };
}

/** The key of its service port. */
export function servicePortOf(n: number): string {
  return `bench/service-${n}:http/TCP`;
}

/** `generation` changes the address of one endpoint; `of`: what the Service has when none is away. */
export function slice(n: number, endpoints: number, generation = 0, of = endpoints): EndpointSlice {
  return {
    kind: 'EndpointSlice',
    namespace: 'bench',
    name: `service-${n}-a`,
    serviceName: `service-${n}`,
    family: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    endpoints: Array.from({ length: endpoints }, (_, i) => endpoint(n * of + i, i === 0 ? generation : 0)),
    triggerTime: undefined,
  };
}

function endpoint(n: number, generation: number): SliceEndpoint {
  return {
    address: ADDRESS('10', (generation % 64) * 131_072 + n + 1),
    nodeName: `node-${n % 50}`,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
  };
}

/** The same objects as the API has them: what a manifest holds. */
export function rawObjects(services: number, endpoints: number): object[] {
  return Array.from({ length: services }, (_, n) => [
    rawService(service(n)),
    rawSlice(slice(n, endpoints)),
  ]).flat();
}

export function rawService({ namespace, name, clusterIPs, ports }: Service): object {
  const clusterIP = clusterIPs.IPv4;
  const spec = { type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP], ipFamilies: ['IPv4'], ports };
  return { apiVersion: 'v1', kind: 'Service', metadata: { namespace, name }, spec };
}

export function rawSlice({ namespace, name, serviceName, ports, endpoints }: EndpointSlice): object {
  const conditions = { ready: true, serving: true, terminating: false };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace, name, labels: { 'kubernetes.io/service-name': serviceName } },
    addressType: 'IPv4',
    ports,
    endpoints: endpoints.map(({ address, nodeName }) => ({ addresses: [address], nodeName, conditions })),
  };
}

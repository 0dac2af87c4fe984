/** Short ways to write objects as the parsers deliver them. */
import { type Cidr, type IpAddress, parseCidr, parseIp } from '../../src/net/ip.js';
import { type ApiObject, type ObjectChange, refOf } from '../../src/objects/ApiObject.js';
import type { EndpointPort, EndpointSlice, SliceEndpoint } from '../../src/objects/EndpointSlice.js';
import type { Node } from '../../src/objects/Node.js';
import type { Service, ServicePortSpec } from '../../src/objects/Service.js';
import type { ServiceCIDR } from '../../src/objects/ServiceCIDR.js';
import { type RoutingOptions, RoutingTable } from '../../src/routing/RoutingTable.js';

export function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`not a prefix: ${text}`);
  return parsed;
}

export function port(fields: Partial<ServicePortSpec> = {}): ServicePortSpec {
  return { name: '', protocol: 'TCP', port: 80, nodePort: 0, ...fields };
}

/** Service shop/cart on 10.96.0.10:80. */
export function service(fields: Partial<Service> = {}): Service {
  return {
    kind: 'Service',
    namespace: 'shop',
    name: 'cart',
    uid: '',
    created: undefined,
    proxyName: undefined,
    options: {},
    type: 'ClusterIP',
    headless: false,
    clusterIPs: { IPv4: ip('10.96.0.10') },
    ports: [port()],
    externalIPs: [],
    loadBalancerIngress: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    affinitySeconds: undefined,
    healthCheckNodePort: 0,
    ...fields,
  };
}

export function endpoint(address: string, fields: Partial<SliceEndpoint> = {}): SliceEndpoint {
  return {
    address: ip(address),
    nodeName: 'node2',
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
    ...fields,
  };
}

export const SERVING_TERMINATING = { ready: false, serving: true, terminating: true } as const;
export const DEAD = { ready: false, serving: false, terminating: false } as const;

/** A slice of Service shop/cart with port 8080. */
export function slice(
  endpoints: readonly SliceEndpoint[],
  fields: Partial<EndpointSlice> = {},
): EndpointSlice {
  return {
    kind: 'EndpointSlice',
    namespace: 'shop',
    name: 'cart-1',
    serviceName: 'cart',
    family: 'IPv4',
    ports: [endpointPort()],
    endpoints,
    triggerTime: undefined,
    ...fields,
  };
}

export function endpointPort(fields: Partial<EndpointPort> = {}): EndpointPort {
  return { name: '', protocol: 'TCP', port: 8080, ...fields };
}

export function node(fields: Partial<Node> = {}): Node {
  return {
    kind: 'Node',
    name: 'node1',
    zone: '',
    addresses: [],
    podCIDRs: [],
    eligible: true,
    leave: false,
    ...fields,
  };
}

export function serviceCIDR(name: string, ...cidrs: readonly string[]): ServiceCIDR {
  return { kind: 'ServiceCIDR', name, cidrs: cidrs.map(cidr) };
}

export function upsert(object: ApiObject): ObjectChange {
  return { type: 'upsert', object };
}

export function remove(object: ApiObject): ObjectChange {
  return { type: 'delete', ref: refOf(object) };
}

/** A table of node1, with the objects applied and not yet committed. */
export function tableOf(objects: readonly ApiObject[], options: Partial<RoutingOptions> = {}): RoutingTable {
  const table = new RoutingTable({
    nodeName: 'node1',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
    ...options,
  });
  table.apply(objects.map(upsert));
  return table;
}

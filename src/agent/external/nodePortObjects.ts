/**
 * A Service of a cluster as a balancer outside of it serves it: its endpoints are the nodes, at the Service's node ports. Pure.
 */
import { familyOf, IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { EndpointSlice, SliceEndpoint } from '../../objects/EndpointSlice.js';
import { EXCLUDE_LABEL, type Node } from '../../objects/Node.js';
import type { Service, ServicePortSpec } from '../../objects/Service.js';

/** One port of one node that answers whether the node serves a Service. */
export interface CheckTarget {
  /** `answers 200`: an HTTP GET of /healthz; `connects`: a TCP connection. */
  readonly by: 'answers 200' | 'connects';
  readonly address: IpAddress;
  readonly port: number;
}

/**
 * `serves`: gets connections. `last`: only when no other node can. `none`: no new ones; those that stand go on.
 */
export type NodeUse = 'serves' | 'last' | 'none';

/** Of kube-proxy, and of penstock: the health of the node's proxy. */
const PROXY_HEALTH_PORT = 10256;

/** What makes a node one that gets connections, as far as the API says it. */
export function useOfNode({ labels = {}, networkUnavailable, notReady, eligible }: Node): NodeUse {
  if (Object.hasOwn(labels, EXCLUDE_LABEL)) return 'none';
  // KEP-3458: the kubelet that is not heard may well have pods that serve, and the check says better whether they do.
  return networkUnavailable || notReady || !eligible ? 'last' : 'serves';
}

/** Whether a change of a Node is one of something that is used. */
export function isUsedAlike(before: Node | undefined, after: Node | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  return (
    useOfNode(before) === useOfNode(after) &&
    IP_FAMILIES.every((family) => addressOfNode(before, family) === addressOfNode(after, family))
  );
}

/** The first address of the family: internal ones come before external ones. */
export function addressOfNode({ addresses }: Node, family: IpFamily): IpAddress | undefined {
  return addresses.find((address) => familyOf(address) === family);
}

/**
 * With policy Local the health-check node port says whether endpoints are on the node; otherwise the port itself is connected
 * to. Where that says nothing (UDP, SCTP), the health of the node's proxy has to do.
 */
export function checkOf(
  { externalTrafficPolicy, healthCheckNodePort }: Service,
  { protocol, nodePort }: ServicePortSpec,
  address: IpAddress,
): CheckTarget {
  if (externalTrafficPolicy === 'Local' && healthCheckNodePort !== 0)
    return { by: 'answers 200', address, port: healthCheckNodePort };
  if (protocol === 'TCP') return { by: 'connects', address, port: nodePort };
  return { by: 'answers 200', address, port: PROXY_HEALTH_PORT };
}

/** Whether the check asks the proxy of the node, and not the Service. */
export function asksProxy({ by, port }: CheckTarget): boolean {
  return by === 'answers 200' && port === PROXY_HEALTH_PORT;
}

/** The Service with nothing of it that the nodes do themselves. `addresses`: for one that has none of its own. */
export function balancedService(service: Service, addresses: readonly IpAddress[]): Service {
  const families = familiesOf(service);
  const own = service.loadBalancerIngress.map(({ ip }) => ip);
  const vips = (own.length > 0 ? own : addresses).filter((ip) => families.includes(familyOf(ip)));
  return {
    ...service,
    clusterIPs: {},
    ports: reachablePorts(service).map((port) => ({ ...port, nodePort: 0 })),
    externalIPs: [],
    // Whoever has ipMode Proxy wants its packets to pass here.
    loadBalancerIngress: vips.map((ip) => ({ ip, ipMode: 'VIP' })),
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    healthCheckNodePort: 0,
  };
}

/** Node ports are served in the families of the cluster IPs only. */
export function familiesOf({ clusterIPs, ipFamilies }: Service): readonly IpFamily[] {
  const given = IP_FAMILIES.filter((family) => clusterIPs[family] !== undefined);
  return given.length > 0 ? given : (ipFamilies ?? IP_FAMILIES);
}

/** Ports that nodes serve; without a node port nothing outside of the cluster reaches one. */
export function reachablePorts({ ports }: Service): readonly ServicePortSpec[] {
  return ports.filter(({ nodePort }) => nodePort !== 0);
}

/** One slice for each port and family, as each port has checks of its own. `use`: what the node is good for, checks included. */
export function nodePortSlices(
  service: Service,
  nodes: readonly Node[],
  use: (port: ServicePortSpec, node: Node, address: IpAddress) => NodeUse,
): readonly EndpointSlice[] {
  const { namespace, name: serviceName } = service;
  const slices: EndpointSlice[] = [];
  for (const family of familiesOf(service)) {
    for (const port of reachablePorts(service)) {
      const { name, protocol, nodePort } = port;
      const endpoints = nodes.flatMap((node) => {
        const address = addressOfNode(node, family);
        return address === undefined ? [] : [endpointOf(node, address, use(port, node, address))];
      });
      if (endpoints.length === 0) continue;
      slices.push({
        kind: 'EndpointSlice',
        namespace,
        name: `${serviceName}-nodes-${family}-${protocol}-${nodePort}`.toLowerCase(),
        serviceName,
        family,
        ports: [{ name, protocol, port: nodePort }],
        endpoints,
        triggerTime: undefined,
      });
    }
  }
  return slices;
}

/** What serves and ends is taken only where nothing else is ready: that is what the last resort means here. */
function endpointOf({ name }: Node, address: IpAddress, use: NodeUse): SliceEndpoint {
  return {
    address,
    nodeName: name,
    ready: use === 'serves',
    serving: use !== 'none',
    terminating: use === 'last',
    zoneHints: [],
    nodeHints: [],
  };
}

/**
 * Random objects for property tests. Few names, few addresses, few ports: collisions and changes of one and the same
 * thing are common.
 */
import fc from 'fast-check';
import type { RuleOptions } from '../../src/explain/World.js';
import type { IpAddress, IpFamily } from '../../src/net/ip.js';
import type { LocalDetector } from '../../src/net/LocalDetector.js';
import type { ObjectChange } from '../../src/objects/ApiObject.js';
import type { EndpointPort, EndpointSlice, SliceEndpoint } from '../../src/objects/EndpointSlice.js';
import type { Node } from '../../src/objects/Node.js';
import type { LoadBalancerIngress, Protocol, Service } from '../../src/objects/Service.js';
import { cidr, ip, node, remove, serviceCIDR, upsert } from './builders.js';

export const NODE = 'node1';
export const SERVICE_NAMES = ['a', 'b', 'c'] as const;
const SLICE_NAMES = ['s1', 's2', 's3', 's4'] as const;

/** The node's own address comes first. The VIPs of both pools overlap. */
export const ADDRESSES: Readonly<Record<IpFamily, AddressPool>> = {
  IPv4: {
    host: ['192.168.0.2', '172.17.0.1'].map(ip),
    cluster: ['10.96.0.1', '10.96.0.2'].map(ip),
    external: ['1.2.3.4', '5.6.7.8', '10.96.0.2', '192.168.0.2'].map(ip),
    pods: ['10.244.1.1', '10.244.1.2', '10.244.2.3', '10.244.2.20'].map(ip),
    client: ip('203.0.113.2'),
    podCIDR: cidr('10.244.1.0/24'),
    clusterCIDR: cidr('10.244.0.0/16'),
    ranges: ['203.0.113.0/25', '192.168.0.0/24', '10.244.1.0/24', '198.51.100.0/24', '0.0.0.0/0'].map(cidr),
    nodePortRanges: ['192.168.0.0/24', '127.0.0.0/8', '198.51.100.0/24', '172.17.0.1/32', '0.0.0.0/0'],
  },
  IPv6: {
    host: ['fd00:1::2', 'fd00:2::1'].map(ip),
    cluster: ['fd00:96::1', 'fd00:96::2'].map(ip),
    external: ['2001:db8::4', '2001:db8::8', 'fd00:96::2', 'fd00:1::2'].map(ip),
    pods: ['fd00:10:1::1', 'fd00:10:1::2', 'fd00:10:2::3', 'fd00:10:2::20'].map(ip),
    client: ip('2001:db8:ffff::2'),
    podCIDR: cidr('fd00:10:1::/64'),
    clusterCIDR: cidr('fd00:10::/32'),
    ranges: ['2001:db8:ffff::/48', 'fd00:1::/64', 'fd00:10:1::/64', '2001:db8:1::/48', '::/0'].map(cidr),
    nodePortRanges: ['fd00:1::/64', '::1/128', '2001:db8:1::/48', '::/0'],
  },
};

interface AddressPool {
  readonly host: readonly IpAddress[];
  readonly cluster: readonly IpAddress[];
  readonly external: readonly IpAddress[];
  readonly pods: readonly IpAddress[];
  readonly client: IpAddress;
  readonly podCIDR: ReturnType<typeof cidr>;
  readonly clusterCIDR: ReturnType<typeof cidr>;
  readonly ranges: readonly ReturnType<typeof cidr>[];
  readonly nodePortRanges: readonly string[];
}

const PORT_NAMES = ['p', 'q'] as const;
export const PORTS = [80, 443] as const;
export const NODE_PORTS = [30001, 30002] as const;
export const HEALTH_PORT = 32000;
export const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP'];
const both = <K extends 'external' | 'ranges'>(key: K) => [...ADDRESSES.IPv4[key], ...ADDRESSES.IPv6[key]];
const policy = fc.constantFrom('Cluster' as const, 'Local' as const);

function rarely<R, U>(rare: R, usual: U): fc.Arbitrary<R | U> {
  return fc.nat(19).map((n) => (n === 19 ? rare : usual));
}

/** UDP now and then: a Service and its slices must agree on it. */
const protocols: fc.Arbitrary<Protocol> = fc.constantFrom('TCP', 'TCP', 'TCP', 'UDP');

const ports = fc
  .uniqueArray(
    fc.record({
      name: fc.constantFrom(...PORT_NAMES),
      protocol: protocols,
      port: fc.constantFrom(...PORTS),
      nodePort: fc.constantFrom(0, ...NODE_PORTS),
    }),
    { minLength: 1, maxLength: 2, selector: (port) => port.name },
  )
  // Two ports with the same number and protocol never pass the parser.
  .filter(([a, b]) => !a || !b || a.protocol !== b.protocol || a.port !== b.port);

const ingress: fc.Arbitrary<LoadBalancerIngress> = fc.record({
  ip: fc.constantFrom(...both('external')),
  ipMode: fc.constantFrom('VIP' as const, 'VIP' as const, 'Proxy' as const),
});

const clusterIPs = fc
  .tuple(fc.constantFrom(...ADDRESSES.IPv4.cluster), fc.constantFrom(...ADDRESSES.IPv6.cluster), fc.nat(3))
  .map(([v4, v6, which]) =>
    which === 0 ? { IPv4: v4 } : which === 1 ? { IPv6: v6 } : { IPv4: v4, IPv6: v6 },
  );

export const services: fc.Arbitrary<Service> = fc
  .record({
    name: fc.constantFrom(...SERVICE_NAMES),
    created: fc.constantFrom(undefined, 1, 2),
    proxyName: rarely('other', undefined),
    options: rarely({ algorithm: 'random' }, {}),
    type: fc.constantFrom(
      'LoadBalancer' as const,
      'LoadBalancer' as const,
      'NodePort' as const,
      'ClusterIP' as const,
    ),
    headless: rarely(true, false),
    clusterIPs,
    ports,
    externalIPs: fc.array(fc.constantFrom(...both('external')), { maxLength: 3, size: 'max' }),
    loadBalancerIngress: fc.array(ingress, { maxLength: 3, size: 'max' }),
    loadBalancerSourceRanges: fc.array(fc.constantFrom(...both('ranges')), { maxLength: 2 }),
    internalTrafficPolicy: policy,
    externalTrafficPolicy: policy,
    affinitySeconds: fc.constantFrom(undefined, undefined, 10800),
    healthCheckNodePort: fc.constantFrom(0, HEALTH_PORT),
  })
  .chain((fields) =>
    rarely('ExternalName' as const, fields.type).map((type) => ({
      kind: 'Service' as const,
      namespace: 'ns',
      uid: '',
      ...fields,
      type,
    })),
  );

const conditions = fc.constantFrom(
  ...[
    { ready: true, serving: true, terminating: false },
    { ready: true, serving: true, terminating: false },
    { ready: false, serving: true, terminating: true },
    { ready: false, serving: false, terminating: true },
    { ready: false, serving: false, terminating: false },
  ],
);

function endpointOf(family: IpFamily): fc.Arbitrary<SliceEndpoint> {
  return fc
    .record({
      address: fc.constantFrom(...ADDRESSES[family].pods),
      nodeName: fc.constantFrom(NODE, 'node2', ''),
      conditions,
      // Both mostly there: hints count only if every ready endpoint has them.
      zoneHints: fc.constantFrom<string[][]>(['z1'], ['z1', 'z2'], ['z2'], []),
      nodeHints: fc.constantFrom<string[][]>([NODE], ['node2'], [], []),
    })
    .map(({ conditions: state, ...fields }) => ({ ...fields, ...state }));
}

/** One port of a Service may be two ports of its endpoints. */
const SLICE_PORTS: readonly EndpointPort[] = [
  { name: 'p', protocol: 'TCP', port: 8080 },
  { name: 'p', protocol: 'TCP', port: 9090 },
  { name: 'q', protocol: 'TCP', port: 8080 },
  { name: 'p', protocol: 'UDP', port: 8080 },
  { name: 'q', protocol: 'UDP', port: 9090 },
];

function sliceOf(family: IpFamily): fc.Arbitrary<EndpointSlice> {
  return fc
    .record({
      // A slice never changes its address type.
      name: fc.constantFrom(...SLICE_NAMES).map((name) => `${name}-${family}`),
      serviceName: fc.constantFrom(...SERVICE_NAMES),
      ports: fc.subarray([...SLICE_PORTS], { minLength: 2 }),
      endpoints: fc.array(endpointOf(family), { minLength: 1, maxLength: 5, size: 'max' }),
    })
    .map((fields) => ({ kind: 'EndpointSlice', namespace: 'ns', family, triggerTime: undefined, ...fields }));
}

export const slices: fc.Arbitrary<EndpointSlice> = fc.oneof(sliceOf('IPv4'), sliceOf('IPv6'));

export const nodes: fc.Arbitrary<Node> = fc
  .record({
    name: fc.constantFrom(NODE, NODE, NODE, 'node2'),
    zone: fc.constantFrom('', 'z1', 'z2'),
    addresses: fc.constantFrom(
      [ADDRESSES.IPv4.host[0], ADDRESSES.IPv6.host[0]] as IpAddress[],
      [ip('198.51.100.7'), ADDRESSES.IPv6.host[0]] as IpAddress[],
    ),
    podCIDRs: fc.constantFrom([ADDRESSES.IPv4.podCIDR, ADDRESSES.IPv6.podCIDR], [ADDRESSES.IPv6.podCIDR], []),
  })
  .map(node);

export const changes: fc.Arbitrary<ObjectChange> = fc.oneof(
  { weight: 10, arbitrary: services.map(upsert) },
  { weight: 10, arbitrary: slices.map(upsert) },
  { weight: 1, arbitrary: nodes.map(upsert) },
  { weight: 2, arbitrary: services.map(remove) },
  { weight: 2, arbitrary: slices.map(remove) },
);

/** Annotations about balancing, good ones and bad ones. */
const balancingOptions = fc.constantFrom<Service['options'][]>(
  {},
  { algorithm: 'maglev' },
  { algorithm: 'nonsense' },
  { weights: `{"${ADDRESSES.IPv4.pods[0]}": 3}` },
  { algorithm: 'source-hash', weights: `{"${ADDRESSES.IPv4.pods[0]}": 4}` },
  { weights: '{"web-1": 3}' },
);

const balancedServices: fc.Arbitrary<Service> = fc
  .tuple(services, balancingOptions)
  .map(([service, options]) => ({ ...service, options }));

/** Two objects may hold one range, and one range may lie within another. */
const serviceCIDRs = fc
  .tuple(
    fc.constantFrom('kubernetes', 'more', 'even-more'),
    fc.subarray(['10.96.0.0/16', '10.96.0.0/24', 'fd00:96::/64', 'fd00:97::/64'], {
      minLength: 1,
      maxLength: 2,
    }),
  )
  .map(([name, ranges]) => serviceCIDR(name, ...ranges));

/** Also what only the routing table looks at so far. */
export const routingChanges: fc.Arbitrary<ObjectChange> = fc.oneof(
  { weight: 20, arbitrary: changes },
  { weight: 5, arbitrary: balancedServices.map(upsert) },
  { weight: 3, arbitrary: serviceCIDRs.map(upsert) },
  { weight: 1, arbitrary: serviceCIDRs.map(remove) },
);

const detectors: fc.Arbitrary<LocalDetector> = fc.constantFrom<LocalDetector[]>(
  { type: 'None' },
  { type: 'NodeCIDR' },
  { type: 'BridgeInterface', name: 'cni0' },
  { type: 'InterfaceNamePrefix', prefix: 'cni' },
  { type: 'ClusterCIDR', cidrs: { IPv4: ADDRESSES.IPv4.clusterCIDR, IPv6: ADDRESSES.IPv6.clusterCIDR } },
  { type: 'ClusterCIDR', cidrs: { IPv4: ADDRESSES.IPv4.clusterCIDR } },
);

export const configs: fc.Arbitrary<RuleOptions> = fc.record({
  detectLocal: detectors,
  masqueradeAll: fc.boolean(),
  localhostNodePorts: fc.boolean(),
  nodePortAddresses: fc.uniqueArray(
    fc.constantFrom(...ADDRESSES.IPv4.nodePortRanges, ...ADDRESSES.IPv6.nodePortRanges),
    { maxLength: 2 },
  ),
});

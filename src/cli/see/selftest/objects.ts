/** The objects of the selftest's own namespaces: a Service for each policy, with every kind of VIP, TCP and UDP, both families. */
import { PEER_PORT } from './runPeer.js';

export const NAMESPACE = 'selftest';
/** Two pods of this node, and one of another. */
export const PODS = [
  { name: 'pod1', node: 'node1', IPv4: '10.244.0.11', IPv6: 'fd00:244::11' },
  { name: 'pod2', node: 'node1', IPv4: '10.244.0.12', IPv6: 'fd00:244::12' },
  { name: 'pod3', node: 'node2', IPv4: '10.244.1.13', IPv6: 'fd00:244:1::13' },
] as const;
export const NODE = { IPv4: '192.168.50.2', IPv6: 'fd00:50::2' } as const;
export const OUTSIDE = { IPv4: '192.168.50.1', IPv6: 'fd00:50::1' } as const;
export const POD_GATEWAY = '10.244.0.1';

interface Kind {
  readonly name: string;
  readonly spec: object;
  readonly pods: readonly (typeof PODS)[number][];
}

const AFFINITY = { sessionAffinity: 'ClientIP' };
const [, , REMOTE] = PODS;
const KINDS: readonly Kind[] = [
  { name: 'plain', spec: {}, pods: PODS },
  { name: 'sticky', spec: AFFINITY, pods: PODS },
  { name: 'external-local', spec: { externalTrafficPolicy: 'Local' }, pods: PODS },
  { name: 'external-local-sticky', spec: { externalTrafficPolicy: 'Local', ...AFFINITY }, pods: PODS },
  { name: 'internal-local', spec: { internalTrafficPolicy: 'Local' }, pods: PODS },
  { name: 'internal-local-sticky', spec: { internalTrafficPolicy: 'Local', ...AFFINITY }, pods: PODS },
  { name: 'empty', spec: {}, pods: [] },
  {
    name: 'elsewhere',
    spec: { externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' },
    pods: [REMOTE],
  },
  { name: 'ranged', spec: { loadBalancerSourceRanges: ['192.0.2.0/24', '2001:db8::/64'] }, pods: PODS },
];

const FIRST_NODE_PORT = 30080;

export function selftestObjects(): readonly object[] {
  const node = {
    kind: 'Node',
    apiVersion: 'v1',
    metadata: { name: 'node1' },
    status: { addresses: [NODE.IPv4, NODE.IPv6].map((address) => ({ type: 'InternalIP', address })) },
  };
  return [node, ...KINDS.flatMap((kind, i) => [service(kind, i), slice(kind, 'IPv4'), slice(kind, 'IPv6')])];
}

function service({ name, spec }: Kind, i: number): object {
  const last = 10 + i;
  const port = (protocol: string) => ({
    name: protocol.toLowerCase(),
    protocol,
    port: 80,
    nodePort: FIRST_NODE_PORT + i,
  });
  const clusterIPs = [`10.96.0.${last}`, `fd00:96::${last}`];
  return {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: { name, namespace: NAMESPACE, creationTimestamp: '2020-01-01T00:00:00Z' },
    spec: {
      type: 'LoadBalancer',
      clusterIP: clusterIPs[0],
      clusterIPs,
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
      externalIPs: [`203.0.113.${last}`, `2001:db8:e::${last}`],
      ports: [port('TCP'), port('UDP')],
      selector: { app: name },
      ...spec,
    },
    status: {
      loadBalancer: { ingress: [{ ip: `198.51.100.${last}` }, { ip: `2001:db8:f::${last}` }] },
    },
  };
}

function slice({ name, pods }: Kind, addressType: 'IPv4' | 'IPv6'): object {
  return {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: {
      name: `${name}-${addressType.toLowerCase()}`,
      namespace: NAMESPACE,
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType,
    ports: ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: PEER_PORT })),
    endpoints: pods.map((pod) => ({
      addresses: [pod[addressType]],
      nodeName: pod.node,
      conditions: { ready: true },
      targetRef: { kind: 'Pod', namespace: NAMESPACE, name: pod.name },
    })),
  };
}

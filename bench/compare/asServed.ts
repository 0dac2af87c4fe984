/** Objects as an API server serves them: with the defaults that it fills in, which kube-proxy counts on (recorded of 1.36.2). */

import { systemClock } from '../../src/time/Clock.js';
import type { RawApiObject } from '../../test/support/FakeApiServer.js';
import { FakeApiServer, typeOf } from '../../test/support/FakeApiServer.js';

const SERVICES = '/api/v1/services';
const NODES = '/api/v1/nodes';
const SERVICE_CIDRS = '/apis/networking.k8s.io/v1/servicecidrs';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
/** Where kube-proxy 1.20 and older read them. */
const OLD_SLICES = '/apis/discovery.k8s.io/v1beta1/endpointslices';
const PATHS: Readonly<Record<string, readonly string[]>> = {
  Service: [SERVICES],
  Node: [NODES],
  ServiceCIDR: [SERVICE_CIDRS],
  EndpointSlice: [SLICES, OLD_SLICES],
};

interface Spec {
  readonly type?: string;
  readonly clusterIP?: string;
  readonly sessionAffinity?: string;
  readonly ports?: readonly { readonly port: number }[];
  readonly externalIPs?: readonly string[];
}

interface AnyObject extends RawApiObject {
  readonly kind: string;
  /** Of an EndpointSlice. */
  readonly endpoints?: readonly { readonly nodeName?: string }[];
  readonly spec?: Spec;
}

/** Ten thousand objects are put in well under a second. */
export function apiServerWith(objects: readonly object[]): FakeApiServer {
  const server = new FakeApiServer(systemClock);
  for (const object of objects) putServed(server, object);
  return server;
}

export function putServed(server: FakeApiServer, object: object): void {
  const { kind, ...rest } = object as AnyObject;
  for (const path of PATHS[kind] ?? []) {
    const served = kind === 'Service' ? service(rest as AnyObject) : rest;
    server.put(path, { ...(path === OLD_SLICES ? oldSlice(rest as AnyObject) : served), ...typeOf(path) });
  }
}

const TYPES_WITH_NODE_PORTS = ['NodePort', 'LoadBalancer'];
const DEFAULT_AFFINITY_SECONDS = 10_800;

/** With all that a stored Service has. Node ports and cluster IPs are given. */
export function service(object: RawApiObject & { readonly spec?: Spec }): RawApiObject {
  const { spec = {} } = object;
  const sticky = spec.sessionAffinity === 'ClientIP';
  const outside = TYPES_WITH_NODE_PORTS.includes(spec.type ?? '');
  const affinity = { clientIP: { timeoutSeconds: DEFAULT_AFFINITY_SECONDS } };
  const filled = {
    type: 'ClusterIP',
    clusterIPs: [spec.clusterIP],
    ipFamilies: [spec.clusterIP?.includes(':') ? 'IPv6' : 'IPv4'],
    ipFamilyPolicy: 'SingleStack',
    sessionAffinity: 'None',
    internalTrafficPolicy: 'Cluster',
    ...(sticky ? { sessionAffinityConfig: affinity } : {}),
    ...(outside || spec.externalIPs ? { externalTrafficPolicy: 'Cluster' } : {}),
    ...(spec.type === 'LoadBalancer' ? { allocateLoadBalancerNodePorts: true } : {}),
    ...spec,
    ports: (spec.ports ?? []).map((port) => ({ protocol: 'TCP', targetPort: port.port, ...port })),
  };
  return { status: { loadBalancer: {} }, ...object, spec: filled } as RawApiObject;
}

/** The node of an endpoint had another place then. */
function oldSlice(slice: AnyObject): AnyObject {
  const endpoints = (slice.endpoints ?? []).map((endpoint) => ({
    ...endpoint,
    topology: { 'kubernetes.io/hostname': endpoint.nodeName },
  }));
  return { ...slice, endpoints };
}

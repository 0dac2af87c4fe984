/** The engine of mode userspace for tests, and service ports to give it. Nobody listens: no packet is sent. */
import { type Balancing, UNWEIGHTED } from '../../src/balancing/Balancing.js';
import type { NativeEngine } from '../../src/kernel/addon/NativeEngine.js';
import { nativeAddon } from '../../src/kernel/addon/nativeAddon.js';
import { familyOf, type IpAddress, joinHostPort } from '../../src/net/ip.js';
import type { Endpoint, EndpointSets, ServicePort } from '../../src/routing/ServicePort.js';
import { ip } from './builders.js';

/** Close it at the end of the test. */
export function openEngine(): NativeEngine {
  const options = {
    threads: 1,
    ipv6: 1,
    firstPort: 0,
    lastPort: 0,
    mark: 0,
    untranslated: 0,
    takeOverFrom: '',
  } as const;
  return new (nativeAddon().ProxyEngine)(options);
}

/** A ready endpoint with port 8080 on another node. */
export function routedEndpoint(address: IpAddress | string, fields: Partial<Endpoint> = {}): Endpoint {
  const port = fields.port ?? 8080;
  const canonical = ip(address);
  return {
    address: canonical,
    port,
    target: joinHostPort(canonical, port),
    local: false,
    mayBeHere: false,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
    ...fields,
  };
}

/** All of them under policy Cluster. */
export function clusterOnly(endpoints: readonly Endpoint[]): EndpointSets {
  return { all: endpoints, cluster: endpoints, local: [], reachable: endpoints, any: endpoints.length > 0 };
}

type Protocol = ServicePort['protocol'];

/** shop/cart on 10.96.0.10:80, or on fd00:96::10 where its endpoints are IPv6. */
export function servicePort<P extends Protocol = 'TCP'>(
  fields: Partial<ServicePort> & { readonly protocol?: P } = {},
): ServicePort & { readonly protocol: P } {
  const protocol = fields.protocol ?? ('TCP' as P);
  const endpoints = fields.endpoints ?? clusterOnly([routedEndpoint('10.0.0.1')]);
  const [first] = endpoints.all;
  const family = fields.family ?? (first ? familyOf(first.address) : 'IPv4');
  return {
    key: `shop/cart:/${protocol}`,
    name: 'shop/cart',
    family,
    namespace: 'shop',
    service: 'cart',
    portName: '',
    clusterIP: ip(family === 'IPv4' ? '10.96.0.10' : 'fd00:96::10'),
    port: 80,
    nodePort: 0,
    externalIPs: [],
    loadBalancerIPs: [],
    sourceRanges: [],
    nodeInSourceRanges: false,
    internalPolicy: 'Cluster',
    externalPolicy: 'Cluster',
    affinitySeconds: undefined,
    healthCheckNodePort: 0,
    options: {},
    balancing: UNWEIGHTED.random,
    ...fields,
    protocol,
    endpoints,
  };
}

/** Fields of a service port that is balanced so. */
export function balanced(balancing: Balancing): Pick<ServicePort, 'options' | 'balancing'> {
  return { options: { algorithm: balancing.algorithm }, balancing };
}

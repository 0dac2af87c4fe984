/** Whether two states of a service port are equal for every dataplane. */
import type { Endpoint, EndpointSets, ServicePort } from '../ServicePort.js';

/** Equal options mean equal balancing, but for the budget. */
export function sameServicePort(a: ServicePort, b: ServicePort): boolean {
  return (
    a.key === b.key &&
    a.clusterIP === b.clusterIP &&
    a.port === b.port &&
    a.nodePort === b.nodePort &&
    a.internalPolicy === b.internalPolicy &&
    a.externalPolicy === b.externalPolicy &&
    a.affinitySeconds === b.affinitySeconds &&
    a.healthCheckNodePort === b.healthCheckNodePort &&
    a.nodeInSourceRanges === b.nodeInSourceRanges &&
    sameList(a.externalIPs, b.externalIPs) &&
    sameList(a.loadBalancerIPs, b.loadBalancerIPs) &&
    sameList(a.sourceRanges, b.sourceRanges) &&
    sameOptions(a.options, b.options) &&
    a.balancing.mostEntries === b.balancing.mostEntries &&
    sameEndpoints(a.endpoints, b.endpoints)
  );
}

/** The lists derive from `all` and from policies and hints; comparing conditions and membership covers them. */
function sameEndpoints(a: EndpointSets, b: EndpointSets): boolean {
  return (
    a.any === b.any &&
    sameList(a.all, b.all, sameEndpoint) &&
    sameList(a.cluster, b.cluster, sameEndpoint) &&
    sameList(a.local, b.local, sameEndpoint)
  );
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return (
    a.target === b.target &&
    a.local === b.local &&
    a.mayBeHere === b.mayBeHere &&
    a.ready === b.ready &&
    a.serving === b.serving &&
    a.terminating === b.terminating
  );
}

function sameOptions(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

function sameList<T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean = Object.is): boolean {
  return a === b || (a.length === b.length && a.every((x, i) => same(x, b[i] as T)));
}

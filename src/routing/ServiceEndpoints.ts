/**
 * The endpoints of one Service, gathered from its EndpointSlices. A Service may have many slices, slices may repeat
 * an endpoint, and they may arrive before their Service.
 */
import { type IpFamily, joinHostPort } from '../net/ip.js';
import type { EndpointSlice, SliceEndpoint } from '../objects/EndpointSlice.js';
import type { Protocol } from '../objects/Service.js';
import type { Endpoint } from './ServicePort.js';

const NONE: readonly Endpoint[] = [];

export class ServiceEndpoints {
  /** By slice name. */
  readonly #slices = new Map<string, EndpointSlice>();

  get empty(): boolean {
    return this.#slices.size === 0;
  }

  set(slice: EndpointSlice): void {
    this.#slices.set(slice.name, slice);
  }

  delete(sliceName: string): boolean {
    return this.#slices.delete(sliceName);
  }

  /** All endpoints of one port, sorted by target, each target once. */
  endpointsOf(family: IpFamily, portName: string, protocol: Protocol, nodeName: string): readonly Endpoint[] {
    const slices = this.#inOrder();
    const found: Endpoint[] = [];
    for (const slice of slices) {
      if (slice.family !== family) continue;
      for (const port of slice.ports) {
        if (port.name !== portName || port.protocol !== protocol) continue;
        for (const endpoint of slice.endpoints) found.push(toEndpoint(endpoint, port.port, nodeName));
      }
    }
    if (found.length < 2) return found.length === 0 ? NONE : found;
    return withoutDuplicates(found.sort(byTarget));
  }

  /** By slice name, so that the outcome does not depend on the order of arrival. */
  #inOrder(): EndpointSlice[] {
    const slices = [...this.#slices.values()];
    return slices.length < 2 ? slices : slices.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

function toEndpoint(from: SliceEndpoint, port: number, nodeName: string): Endpoint {
  return {
    address: from.address,
    port,
    target: joinHostPort(from.address, port),
    local: nodeName !== '' && from.nodeName === nodeName,
    nodeUnknown: from.nodeName === '',
    ready: from.ready,
    serving: from.serving,
    terminating: from.terminating,
    zoneHints: from.zoneHints,
    nodeHints: from.nodeHints,
  };
}

/** Plain byte order, as kube-proxy's. The sort is stable: duplicates stay in the order of their slices. */
function byTarget(a: Endpoint, b: Endpoint): number {
  return a.target < b.target ? -1 : a.target > b.target ? 1 : 0;
}

/** While an endpoint moves between slices both may list it: one that is not shutting down is the newer truth. */
function withoutDuplicates(sorted: Endpoint[]): readonly Endpoint[] {
  let kept = 0;
  for (const endpoint of sorted) {
    if (kept === 0 || sorted[kept - 1]?.target !== endpoint.target) sorted[kept++] = endpoint;
    else if (!endpoint.terminating) sorted[kept - 1] = endpoint;
  }
  sorted.length = kept;
  return sorted;
}

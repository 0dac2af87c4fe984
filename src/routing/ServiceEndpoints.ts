/**
 * The endpoints of one Service, gathered from its EndpointSlices. A Service may have many slices, slices may repeat
 * an endpoint, and they may arrive before their Service.
 */
import { type IpFamily, joinHostPort } from '../net/ip.js';
import type { EndpointSlice } from '../objects/EndpointSlice.js';
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
    const byTarget = new Map<string, Endpoint>();
    for (const slice of this.#inOrder()) {
      if (slice.family !== family) continue;
      for (const port of slice.ports) {
        if (port.name !== portName || port.protocol !== protocol) continue;
        for (const { address, nodeName: runsOn, ...conditions } of slice.endpoints) {
          const target = joinHostPort(address, port.port);
          // While an endpoint moves between slices both may list it: one that is not shutting down is the newer truth.
          if (byTarget.has(target) && conditions.terminating) continue;
          const local = nodeName !== '' && runsOn === nodeName;
          byTarget.set(target, { address, port: port.port, target, local, ...conditions });
        }
      }
    }
    if (byTarget.size === 0) return NONE;
    return [...byTarget.values()].sort((a, b) => (a.target < b.target ? -1 : 1));
  }

  /** By slice name, so that the outcome does not depend on the order of arrival. */
  #inOrder(): EndpointSlice[] {
    const slices = [...this.#slices.values()];
    return slices.length < 2 ? slices : slices.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

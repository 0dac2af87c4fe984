/**
 * The endpoints of one Service, gathered from its EndpointSlices. A Service may have many slices, slices may repeat
 * an endpoint, and they may arrive before their Service.
 */
import { type IpFamily, joinHostPort } from '../../net/ip.js';
import type { EndpointSlice, SliceEndpoint } from '../../objects/EndpointSlice.js';
import type { Protocol } from '../../objects/Service.js';
import type { Endpoint } from '../ServicePort.js';

const NONE: readonly Endpoint[] = [];

interface Source {
  readonly slice: EndpointSlice;
  readonly port: number;
}

const NO_SOURCES: readonly Source[] = [];

export class ServiceEndpoints {
  /** By slice name. */
  readonly #slices = new Map<string, EndpointSlice>();

  get empty(): boolean {
    return this.#slices.size === 0;
  }

  get slices(): Iterable<EndpointSlice> {
    return this.#slices.values();
  }

  set(slice: EndpointSlice): void {
    this.#slices.set(slice.name, slice);
  }

  delete(sliceName: string): boolean {
    return this.#slices.delete(sliceName);
  }

  /** The endpoints of one port after the other: what all ports have in common is looked for once. */
  ofFamily(family: IpFamily, nodeName: string): PortEndpoints {
    return new PortEndpoints(this.#byPort(family), nodeName);
  }

  #byPort(family: IpFamily): ReadonlyMap<string, readonly Source[]> {
    const byPort = new Map<string, Source[]>();
    for (const slice of this.#inOrder()) {
      if (slice.family !== family) continue;
      for (const { name, protocol, port } of slice.ports) {
        const key = keyOf(name, protocol);
        const known = byPort.get(key);
        if (known) known.push({ slice, port });
        else byPort.set(key, [{ slice, port }]);
      }
    }
    return byPort;
  }

  /** By slice name, so that the outcome does not depend on the order of arrival. */
  #inOrder(): EndpointSlice[] {
    const slices = [...this.#slices.values()];
    return slices.length < 2 ? slices : slices.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/** The endpoints of one Service in one family, by port. */
export class PortEndpoints {
  readonly #byPort: ReadonlyMap<string, readonly Source[]>;
  readonly #nodeName: string;

  constructor(byPort: ReadonlyMap<string, readonly Source[]>, nodeName: string) {
    this.#byPort = byPort;
    this.#nodeName = nodeName;
  }

  /** How many there are, repetitions included. */
  count(portName: string, protocol: Protocol): number {
    return this.#sources(portName, protocol).reduce((sum, { slice }) => sum + slice.endpoints.length, 0);
  }

  /**
   * All endpoints of a port, sorted by target, each target once. With a limit those that are ready, the local ones among
   * them first: the rest is not even made.
   */
  of(portName: string, protocol: Protocol, limit = Number.POSITIVE_INFINITY): readonly Endpoint[] {
    const sources = this.#sources(portName, protocol);
    const found: Endpoint[] = [];
    const take = (test: (endpoint: SliceEndpoint) => boolean) => {
      for (const { slice, port } of sources) {
        for (const endpoint of slice.endpoints) {
          if (found.length >= limit) return;
          if (test(endpoint)) found.push(toEndpoint(endpoint, port, this.#nodeName));
        }
      }
    };
    if (this.count(portName, protocol) <= limit) take(() => true);
    else {
      const isLocal = (endpoint: SliceEndpoint) => endpoint.nodeName === this.#nodeName;
      take((endpoint) => endpoint.ready && isLocal(endpoint));
      take((endpoint) => endpoint.ready && !isLocal(endpoint));
      take((endpoint) => !endpoint.ready);
    }
    if (found.length < 2) return found.length === 0 ? NONE : found;
    return withoutDuplicates(found.sort(byTarget));
  }

  #sources(portName: string, protocol: Protocol): readonly Source[] {
    return this.#byPort.get(keyOf(portName, protocol)) ?? NO_SOURCES;
  }
}

function keyOf(portName: string, protocol: Protocol): string {
  return `${protocol} ${portName}`;
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

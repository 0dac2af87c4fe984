/**
 * The endpoints of one Service, gathered from its EndpointSlices. A Service may have many slices, slices may repeat
 * an endpoint, and they may arrive before their Service.
 */
import { type IpAddress, type IpFamily, joinHostPort } from '../../net/ip.js';
import type { EndpointSlice, SliceEndpoint } from '../../objects/EndpointSlice.js';
import type { Protocol } from '../../objects/Service.js';
import type { Endpoint } from '../ServicePort.js';

const NONE: readonly Endpoint[] = [];
const NO_SLICES: readonly EndpointSlice[] = [];
const NOWHERE: ReadonlySet<IpAddress> = new Set();

/** A slice, and the port number that one port of the Service has in it. */
interface Source {
  readonly slice: EndpointSlice;
  readonly port: number;
}

const NO_SOURCES: readonly Source[] = [];
/** Of one slice: so many are looked through sooner than sorted by name. */
const FEW_PORTS = 4;

export class ServiceEndpoints {
  /** By slice name. Nearly all have one: itself. */
  #slices: EndpointSlice | Map<string, EndpointSlice> | undefined;

  get empty(): boolean {
    return this.#slices === undefined || (this.#slices instanceof Map && this.#slices.size === 0);
  }

  get slices(): Iterable<EndpointSlice> {
    return this.#list();
  }

  set(slice: EndpointSlice): void {
    const known = this.#slices;
    if (known instanceof Map) known.set(slice.name, slice);
    else if (known === undefined || known.name === slice.name) this.#slices = slice;
    else
      this.#slices = new Map([
        [known.name, known],
        [slice.name, slice],
      ]);
  }

  delete(sliceName: string): void {
    if (this.#slices instanceof Map) this.#slices.delete(sliceName);
    else if (this.#slices?.name === sliceName) this.#slices = undefined;
  }

  /** The endpoints of one port after the other: what all ports have in common is looked for once. */
  ofFamily(family: IpFamily, nodeName: string): PortEndpoints {
    const list = this.#list();
    const ours = list.every((slice) => slice.family === family)
      ? list
      : list.filter((slice) => slice.family === family);
    return new PortEndpoints(ours, nodeName);
  }

  /** By slice name, so that the outcome does not depend on the order of arrival. */
  #list(): readonly EndpointSlice[] {
    const slices = this.#slices;
    if (slices === undefined) return NO_SLICES;
    if (!(slices instanceof Map)) return [slices];
    return [...slices.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/** The endpoints of one Service in one family, by port. */
export class PortEndpoints {
  readonly #slices: readonly EndpointSlice[];
  readonly #nodeName: string;
  /** Addresses that some slice says are here, or leaves open. */
  #here: ReadonlySet<IpAddress> | undefined;
  /** By keyOf(); made when there is much to look through. */
  #byPort: ReadonlyMap<string, readonly Source[]> | undefined;

  constructor(slices: readonly EndpointSlice[], nodeName: string) {
    this.#slices = slices;
    this.#nodeName = nodeName;
  }

  /** No port has more, repetitions included. */
  get mostOfPort(): number {
    return this.#slices.reduce((sum, { endpoints, ports }) => sum + endpoints.length * ports.length, 0);
  }

  /** How many there are, repetitions included. */
  count(portName: string, protocol: Protocol): number {
    return countOf(this.#sources(portName, protocol));
  }

  /**
   * All endpoints of a port, sorted by target, each target once. With a limit those that are ready, the local ones among
   * them first: the rest is not even made.
   */
  of(portName: string, protocol: Protocol, limit = Number.POSITIVE_INFINITY): readonly Endpoint[] {
    const sources = this.#sources(portName, protocol);
    const [source, another] = sources;
    if (source === undefined) return NONE;
    // Lists of their exact size, where nothing is left out.
    const [nodeName, here] = [this.#nodeName, this.#addressesHere()];
    const all = ({ slice, port }: Source) =>
      slice.endpoints.map((endpoint) => toEndpoint(endpoint, port, nodeName, here));
    const found =
      countOf(sources) > limit
        ? this.#preferred(sources, limit)
        : another === undefined
          ? all(source)
          : sources.flatMap(all);
    return withoutDuplicates(found.length < 2 ? found : found.sort(byTarget));
  }

  #preferred(sources: readonly Source[], limit: number): Endpoint[] {
    const found: Endpoint[] = [];
    const [nodeName, here] = [this.#nodeName, this.#addressesHere()];
    const take = (test: (endpoint: SliceEndpoint) => boolean) => {
      for (const { slice, port } of sources) {
        for (const endpoint of slice.endpoints) {
          if (found.length >= limit) return;
          if (test(endpoint)) found.push(toEndpoint(endpoint, port, nodeName, here));
        }
      }
    };
    const isLocal = (endpoint: SliceEndpoint) => nodeName !== '' && endpoint.nodeName === nodeName;
    take((endpoint) => endpoint.ready && isLocal(endpoint));
    take((endpoint) => endpoint.ready && !isLocal(endpoint));
    take((endpoint) => !endpoint.ready);
    return found;
  }

  #addressesHere(): ReadonlySet<IpAddress> {
    this.#here ??= addressesHere(this.#slices, this.#nodeName);
    return this.#here;
  }

  #sources(portName: string, protocol: Protocol): readonly Source[] {
    const [slice, another] = this.#slices;
    if (slice === undefined) return NO_SOURCES;
    if (another !== undefined || slice.ports.length > FEW_PORTS) {
      this.#byPort ??= sourcesByPort(this.#slices);
      return this.#byPort.get(keyOf(portName, protocol)) ?? NO_SOURCES;
    }
    const sources: Source[] = [];
    for (const { name, protocol: found, port } of slice.ports)
      if (name === portName && found === protocol) sources.push({ slice, port });
    return sources;
  }
}

function sourcesByPort(slices: readonly EndpointSlice[]): ReadonlyMap<string, readonly Source[]> {
  const byPort = new Map<string, Source[]>();
  for (const slice of slices) {
    for (const { name, protocol, port } of slice.ports) {
      const key = keyOf(name, protocol);
      const known = byPort.get(key);
      if (known) known.push({ slice, port });
      else byPort.set(key, [{ slice, port }]);
    }
  }
  return byPort;
}

function countOf(sources: readonly Source[]): number {
  return sources.reduce((sum, { slice }) => sum + slice.endpoints.length, 0);
}

function keyOf(portName: string, protocol: Protocol): string {
  return `${protocol} ${portName}`;
}

function toEndpoint(
  from: SliceEndpoint,
  port: number,
  nodeName: string,
  here: ReadonlySet<IpAddress>,
): Endpoint {
  const local = nodeName !== '' && from.nodeName === nodeName;
  return {
    address: from.address,
    port,
    target: joinHostPort(from.address, port),
    local,
    mayBeHere: local || from.nodeName === '' || (here !== NOWHERE && here.has(from.address)),
    ready: from.ready,
    serving: from.serving,
    terminating: from.terminating,
    zoneHints: from.zoneHints,
    nodeHints: from.nodeHints,
  };
}

/** Whichever repetition of an endpoint counts, and on whatever port: an address is here or it is not. */
function addressesHere(slices: readonly EndpointSlice[], nodeName: string): ReadonlySet<IpAddress> {
  let here: Set<IpAddress> | undefined;
  for (const { endpoints } of slices) {
    for (const endpoint of endpoints) {
      if (endpoint.nodeName !== '' && endpoint.nodeName !== nodeName) continue;
      here ??= new Set();
      here.add(endpoint.address);
    }
  }
  return here ?? NOWHERE;
}

/** Plain byte order, as kube-proxy's. The sort is stable: duplicates stay in the order of their slices. */
function byTarget(a: Endpoint, b: Endpoint): number {
  return a.target < b.target ? -1 : a.target > b.target ? 1 : 0;
}

/** While an endpoint moves between slices both may list it: one that is not shutting down is the newer truth. */
function withoutDuplicates(sorted: Endpoint[]): readonly Endpoint[] {
  if (!sorted.some((endpoint, i) => endpoint.target === sorted[i + 1]?.target)) return sorted;
  let kept = 0;
  for (const endpoint of sorted) {
    if (kept === 0 || sorted[kept - 1]?.target !== endpoint.target) sorted[kept++] = endpoint;
    else if (!endpoint.terminating) sorted[kept - 1] = endpoint;
  }
  sorted.length = kept;
  return sorted;
}

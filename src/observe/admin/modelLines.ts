/**
 * The routing table as lines of JSON, for commands that compare it with the kernel: a line of what the node is, then one a
 * service port, which begins with its family. Endpoints are short: a table of 50,000 Services must travel in a second.
 */

import type { Algorithm } from '../../balancing/Balancing.js';
import { readBalancing } from '../../balancing/readBalancing.js';
import { PenstockError } from '../../errors.js';
import { IP_FAMILIES, type IpAddress, type IpFamily, joinHostPort } from '../../net/ip.js';
import type { Node } from '../../objects/Node.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Endpoint, EndpointSets, ServicePort } from '../../routing/ServicePort.js';

export interface NodeLine {
  readonly node: RoutingView['node'];
  readonly nodeObject: Node | null;
  readonly serviceCIDRs: Readonly<Record<IpFamily, readonly string[]>>;
}

/** [address, port, sum of BITS] */
type ShortEndpoint = readonly [string, number, number];

const BITS = { local: 1, mayBeHere: 2, ready: 4, serving: 8, terminating: 16 } as const;
const LISTS = ['cluster', 'local', 'reachable'] as const;

interface PortLine extends Omit<ServicePort, 'balancing' | 'endpoints'> {
  readonly all: readonly ShortEndpoint[];
  readonly any: boolean;
  /** Lists of indexes in `all`; null is all of them. Lists that are one in the table are one here. */
  readonly lists: readonly (readonly number[] | null)[];
  /** Of its balancing, where the Service names no algorithm and it is not random. */
  readonly usual?: Algorithm;
  /** Of its balancing; the rest of that follows from the options. */
  readonly mostEntries?: number;
  /** For each of LISTS: which of `lists`. */
  readonly of: readonly number[];
}

/** `services`: of these alone (`namespace/name`); none: of all. */
export function* modelLines(
  view: RoutingView,
  services: ReadonlySet<string> = new Set(),
): Generator<NodeLine | PortLine> {
  yield nodeLine(view);
  // What comes or goes meanwhile is in it or is not.
  for (const family of IP_FAMILIES)
    for (const port of [...view.servicePorts(family).values()])
      if (services.size === 0 || services.has(`${port.namespace}/${port.service}`)) yield portLine(port);
}

/** The first line. */
export function nodeLine(view: Omit<RoutingView, 'servicePorts'>): NodeLine {
  return {
    node: view.node,
    nodeObject: view.nodeObject ?? null,
    serviceCIDRs: { IPv4: view.serviceCIDRs('IPv4'), IPv6: view.serviceCIDRs('IPv6') },
  };
}

function portLine({ balancing, endpoints, family, ...rest }: ServicePort): PortLine {
  const { all } = endpoints;
  const distinct: (readonly Endpoint[])[] = [];
  const of = LISTS.map((name) => {
    const list = endpoints[name];
    const at = distinct.indexOf(list);
    return at >= 0 ? at : distinct.push(list) - 1;
  });
  const indexes = new Map(all.map((endpoint, i) => [endpoint.target, i]));
  const lists = distinct.map((list) =>
    list.length === all.length ? null : list.map(({ target }) => indexes.get(target) ?? 0),
  );
  const { algorithm, mostEntries } = balancing;
  const usual = readBalancing(rest.options).balancing.algorithm === algorithm ? {} : { usual: algorithm };
  const line = { family, ...rest, all: all.map(short), any: endpoints.any, lists, of, ...usual };
  return mostEntries === undefined ? line : { ...line, mostEntries };
}

function short(endpoint: Endpoint): ShortEndpoint {
  let bits = 0;
  if (endpoint.local) bits |= BITS.local;
  if (endpoint.mayBeHere) bits |= BITS.mayBeHere;
  if (endpoint.ready) bits |= BITS.ready;
  if (endpoint.serving) bits |= BITS.serving;
  if (endpoint.terminating) bits |= BITS.terminating;
  return [endpoint.address, endpoint.port, bits];
}

/**
 * Keeps lines as they came, and reads them when service ports are asked for: who asks for one after the other, once, never has
 * all of them in memory. Hints are not sent: they have been heeded.
 */
export class ModelReader {
  #node: NodeLine | undefined;
  readonly #lines: Readonly<Record<IpFamily, string[]>> = { IPv4: [], IPv6: [] };

  /** Throws PENSTOCK_NO_AGENT for what is no line of a model. */
  take(line: string): void {
    if (this.#node === undefined) this.#node = readLine<NodeLine>(line);
    else this.#lines[familyOfLine(line)].push(line);
  }

  /** Undefined before any line came. What it gives throws as take() does. */
  view(): RoutingView | undefined {
    const known = this.#node;
    if (known === undefined) return undefined;
    const ports = { IPv4: new LinePorts(this.#lines.IPv4), IPv6: new LinePorts(this.#lines.IPv6) };
    return { ...viewOfNode(known), servicePorts: (family) => ports[family] };
  }
}

/** Of an older agent, it stands elsewhere in the line. */
function familyOfLine(line: string): IpFamily {
  for (const family of IP_FAMILIES) if (line.startsWith(`{"family":"${family}"`)) return family;
  return readLine<PortLine>(line).family === 'IPv6' ? 'IPv6' : 'IPv4';
}

function readLine<Line>(text: string): Line {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Line;
  } catch {
    // Said below.
  }
  throw new PenstockError('PENSTOCK_NO_AGENT', 'what the agent says of its service ports cannot be read', {
    remedy: 'Is it of another version? `penstock status` says so.',
  });
}

/** Service ports by key. values() reads them anew each time, and nobody keeps them, until one is asked for by its key. */
class LinePorts implements ReadonlyMap<string, ServicePort> {
  readonly #lines: readonly string[];
  #byKey: ReadonlyMap<string, ServicePort> | undefined;

  constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  get size(): number {
    return this.#lines.length;
  }

  *values(): MapIterator<ServicePort> {
    if (this.#byKey) yield* this.#byKey.values();
    else for (const line of this.#lines) yield readPort(readLine<PortLine>(line));
  }

  get(key: string): ServicePort | undefined {
    return this.#all().get(key);
  }

  has(key: string): boolean {
    return this.#all().has(key);
  }

  keys(): MapIterator<string> {
    return this.#all().keys();
  }

  entries(): MapIterator<[string, ServicePort]> {
    return this.#all().entries();
  }

  [Symbol.iterator](): MapIterator<[string, ServicePort]> {
    return this.entries();
  }

  forEach(take: (port: ServicePort, key: string, ports: ReadonlyMap<string, ServicePort>) => void): void {
    for (const [key, port] of this.entries()) take(port, key, this);
  }

  #all(): ReadonlyMap<string, ServicePort> {
    if (!this.#byKey) {
      const byKey = new Map<string, ServicePort>();
      for (const port of this.values()) byKey.set(port.key, port);
      this.#byKey = byKey;
    }
    return this.#byKey;
  }
}

function readPort({ all: shorts, any, lists, of, usual, mostEntries, ...rest }: PortLine): ServicePort {
  const { balancing } = readBalancing(rest.options, usual);
  const all = shorts.map(readEndpoint);
  const read = lists.map((list) => (list === null ? all : list.flatMap((i) => all[i] ?? [])));
  const listOf = (name: (typeof LISTS)[number]) => read[of[LISTS.indexOf(name)] ?? 0] ?? [];
  const endpoints: EndpointSets = {
    all,
    cluster: listOf('cluster'),
    local: listOf('local'),
    reachable: listOf('reachable'),
    any,
  };
  return {
    ...rest,
    // JSON has no undefined.
    clusterIP: rest.clusterIP,
    affinitySeconds: rest.affinitySeconds,
    balancing: mostEntries === undefined ? balancing : { ...balancing, mostEntries },
    endpoints,
  };
}

/** What a line says of the node, as a table without service ports. */
export function viewOfNode(line: NodeLine): RoutingView {
  return {
    node: line.node,
    nodeObject: line.nodeObject ?? undefined,
    serviceCIDRs: (family) => line.serviceCIDRs[family] as ReturnType<RoutingView['serviceCIDRs']>,
    servicePorts: () => new Map(),
  };
}

const NO_HINTS: readonly string[] = [];

function readEndpoint([address, port, bits]: ShortEndpoint): Endpoint {
  return {
    address: address as IpAddress,
    port,
    target: joinHostPort(address as IpAddress, port),
    local: (bits & BITS.local) !== 0,
    // An agent of an older version does not say it of what is local.
    mayBeHere: (bits & (BITS.local | BITS.mayBeHere)) !== 0,
    ready: (bits & BITS.ready) !== 0,
    serving: (bits & BITS.serving) !== 0,
    terminating: (bits & BITS.terminating) !== 0,
    zoneHints: NO_HINTS,
    nodeHints: NO_HINTS,
  };
}

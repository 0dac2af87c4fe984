/**
 * The routing table as lines of JSON, for commands that compare it with the kernel: a line of what the node is, then one a
 * service port. Endpoints are short: a table of 50,000 Services must travel in a second.
 */
import { readBalancing } from '../../balancing/readBalancing.js';
import { IP_FAMILIES, type IpAddress, type IpFamily, joinHostPort } from '../../net/ip.js';
import type { Node } from '../../objects/Node.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Endpoint, EndpointSets, ServicePort } from '../../routing/ServicePort.js';

interface NodeLine {
  readonly node: RoutingView['node'];
  readonly nodeObject: Node | null;
  readonly serviceCIDRs: Readonly<Record<IpFamily, readonly string[]>>;
}

/** [address, port, bits of FLAGS] */
type ShortEndpoint = readonly [string, number, number];

const FLAGS = ['local', 'nodeUnknown', 'ready', 'serving', 'terminating'] as const;
const LISTS = ['cluster', 'local', 'reachable'] as const;

interface PortLine extends Omit<ServicePort, 'balancing' | 'endpoints'> {
  readonly all: readonly ShortEndpoint[];
  readonly any: boolean;
  /** Lists of indexes in `all`; null is all of them. Lists that are one in the table are one here. */
  readonly lists: readonly (readonly number[] | null)[];
  /** For each of LISTS: which of `lists`. */
  readonly of: readonly number[];
}

export function* modelLines(view: RoutingView): Generator<NodeLine | PortLine> {
  yield {
    node: view.node,
    nodeObject: view.nodeObject ?? null,
    serviceCIDRs: { IPv4: view.serviceCIDRs('IPv4'), IPv6: view.serviceCIDRs('IPv6') },
  };
  // What comes or goes meanwhile is in it or is not.
  for (const family of IP_FAMILIES)
    for (const port of [...view.servicePorts(family).values()]) yield portLine(port);
}

function portLine({ balancing: _, endpoints, ...rest }: ServicePort): PortLine {
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
  return { ...rest, all: all.map(short), any: endpoints.any, lists, of };
}

function short(endpoint: Endpoint): ShortEndpoint {
  const bits = FLAGS.reduce((sum, flag, i) => sum | (endpoint[flag] ? 1 << i : 0), 0);
  return [endpoint.address, endpoint.port, bits];
}

/** Hints are not sent: they have been heeded. */
export class ModelReader {
  #node: NodeLine | undefined;
  readonly #ports: Readonly<Record<IpFamily, Map<string, ServicePort>>> = {
    IPv4: new Map(),
    IPv6: new Map(),
  };

  take(line: unknown): void {
    if (this.#node === undefined) {
      this.#node = line as NodeLine;
      return;
    }
    const port = readPort(line as PortLine);
    this.#ports[port.family].set(port.key, port);
  }

  /** Undefined before any line came. */
  view(): RoutingView | undefined {
    const known = this.#node;
    if (known === undefined) return undefined;
    return {
      node: known.node,
      nodeObject: known.nodeObject ?? undefined,
      serviceCIDRs: (family) => known.serviceCIDRs[family] as ReturnType<RoutingView['serviceCIDRs']>,
      servicePorts: (family) => this.#ports[family],
    };
  }
}

function readPort({ all: shorts, any, lists, of, ...rest }: PortLine): ServicePort {
  const all = shorts.map(([address, port, bits]): Endpoint => {
    const flag = (name: (typeof FLAGS)[number]) => (bits & (1 << FLAGS.indexOf(name))) !== 0;
    return {
      address: address as IpAddress,
      port,
      target: joinHostPort(address as IpAddress, port),
      local: flag('local'),
      nodeUnknown: flag('nodeUnknown'),
      ready: flag('ready'),
      serving: flag('serving'),
      terminating: flag('terminating'),
      zoneHints: [],
      nodeHints: [],
    };
  });
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
    balancing: readBalancing(rest.options).balancing,
    endpoints,
  };
}

/** What one service port puts into the sets and maps of the table. Pure. */
import { type Balancing, kernelAlgorithm } from '../../../balancing/Balancing.js';
import { maglev, maglevSize } from '../../../balancing/maglev.js';
import { slots, slotsSize } from '../../../balancing/slots.js';
import { indexKey, ipKey, portKey, protocolKey } from '../../../kernel/nftables/dataTypes.js';
import { PROTOCOL_NUMBER } from '../../../kernel/nftables/statements.js';
import type { Cidr } from '../../../net/ip.js';
import { choiceMarks, isChosenFor } from '../../../routing/choice.js';
import {
  type Endpoint,
  externalVerdict,
  internalVerdict,
  type ServicePort,
} from '../../../routing/ServicePort.js';
import { cidrRange, withoutContained } from '../../family/cidrRanges.js';
import type { AffinityTime } from './fixedChains.js';
import { filledTurns, indexCount, turnCount } from './indexCount.js';
import { ownerText } from './ownerText.js';
import { type Draw, drawOf, type From, firstIndex, offsetOf, type Pick, type Space } from './pickChains.js';
import { type ChainKind, DEFAULT, RANDOM, type ServiceChain } from './ServiceChain.js';
import type { SetName } from './sets.js';

/** How many indexes each list of endpoints of a service port has. */
export interface IndexCounts {
  /** For traffic under the policies in force. */
  readonly internal: number;
  readonly external: number;
  /** For the short circuit of external policy Local. */
  readonly shortCircuit: number;
}

/** A lookup table of maglev: elements with indexes one after the other, of which a change moves few. */
export interface IndexTable {
  readonly set: SetName;
  /** What their keys begin with, before the index. */
  readonly key: string;
  /** Of the first of them. */
  readonly first: number;
  /** For each element which of `values` it has. */
  readonly entries: Uint32Array;
  /** One for each endpoint. */
  readonly values: readonly string[];
}

export interface ElementSink {
  /** `value` undefined for a set. */
  element(set: SetName, key: string, value?: string): void;
  /** Absent: its elements come one by one. */
  table?(table: IndexTable): void;
  /** A key that several service ports may put into a set. */
  shared(set: 'cluster-ips' | 'hairpins', key: string): void;
  /** A VIP or node port and the chain to go on in. `servicePort`: its name, for who lists the rules. */
  chain(key: string, chain: ServiceChain, servicePort: string): void;
  /** That a list of so many indexes is drawn from. */
  draw(draw: Draw, count: number): void;
  /** A VIP or node port with session affinity. */
  sticky(of: 'services' | 'node-ports', time: AffinityTime, key: string): void;
}

const PROTOCOL = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

export function countIndexes({
  endpoints,
  balancing,
  internalPolicy,
  externalPolicy,
}: ServicePort): IndexCounts {
  const cluster = countOf(endpoints.cluster, balancing);
  const needsLocal = internalPolicy === 'Local' || externalPolicy === 'Local';
  const local = needsLocal ? countOf(endpoints.local, balancing) : cluster;
  return {
    internal: endpoints.internal
      ? countOf(endpoints.internal, balancing)
      : internalPolicy === 'Local'
        ? local
        : cluster,
    external: externalPolicy === 'Local' ? local : cluster,
    shortCircuit: externalPolicy === 'Local' ? cluster : 0,
  };
}

function countOf(endpoints: readonly Endpoint[], { algorithm, weights, mostEntries }: Balancing): number {
  if (algorithm === 'maglev') return Math.max(maglevSize(endpoints, weights, mostEntries), 1);
  const wanted = slotsSize(endpoints, weights, mostEntries);
  return algorithm === 'round-robin' ? turnCount(wanted) : indexCount(wanted);
}

/** By the list that was laid out, which is the same array as long as nothing of it changed. */
const laidOut = new WeakMap<
  readonly Endpoint[],
  { readonly balancing: Balancing; readonly indexes: Indexes }
>();

/** Which endpoint of a list each index leads to, as often as weights and table say. */
type Indexes = readonly Endpoint[] | Uint32Array;

/** The endpoints of a list by index. Tables are kept: a service port is laid out for each address, and again when it changes. */
function layOut(endpoints: readonly Endpoint[], balancing: Balancing): Indexes {
  const { algorithm, weights, mostEntries } = balancing;
  if (algorithm !== 'maglev' && weights.size === 0) return endpoints;
  const known = laidOut.get(endpoints);
  if (known?.balancing === balancing) return known.indexes;
  const indexes =
    algorithm === 'maglev' ? maglev(endpoints, weights, mostEntries) : slots(endpoints, weights, mostEntries);
  laidOut.set(endpoints, { balancing, indexes });
  return indexes;
}

/** How many elements a service port has in the maps of endpoints, at most. */
export function countElements(port: ServicePort, counts: IndexCounts): { vips: number; nodePorts: number } {
  const outside = counts.external + counts.shortCircuit;
  const inside = port.clusterIP === undefined ? 0 : counts.internal;
  return {
    vips: inside + (port.externalIPs.length + port.loadBalancerIPs.length) * outside,
    nodePorts: port.nodePort === 0 ? 0 : outside,
  };
}

export function emitServicePort(port: ServicePort, counts: IndexCounts, sink: ElementSink): void {
  const emitter = new Emitter(port, sink);
  const { endpoints, clusterIP } = port;
  const internal =
    endpoints.internal ?? (port.internalPolicy === 'Local' ? endpoints.local : endpoints.cluster);
  if (clusterIP !== undefined) {
    const key = ipKey(clusterIP) + emitter.portKey;
    sink.shared('cluster-ips', ipKey(clusterIP));
    emitter.entry('vip', key, 'cluster', internal, counts.internal, 'open');
    if (internalVerdict(port) === 'drop') sink.element('drop-services', key);
  }
  if (port.externalIPs.length + port.loadBalancerIPs.length > 0) emitOutside(port, counts, emitter, sink);
  if (port.nodePort !== 0) {
    const key = protocolKey(PROTOCOL_NUMBER[PROTOCOL[port.protocol]]) + portKey(port.nodePort);
    emitter.external('node-port', key, counts, 'open');
    // The node is no outsider: policy Local does not bind it.
    const served = slotsSize(endpoints.cluster, port.balancing.weights) > 0;
    if (port.protocol !== 'SCTP') sink.element(served ? 'localhost-node-ports' : 'localhost-refused', key);
  }
  // Of all, as in mode ipvs: who is not ready here may be ready, and elsewhere, by what another Service says.
  for (const { mayBeHere, address } of endpoints.all) {
    if (mayBeHere) sink.shared('hairpins', ipKey(address) + ipKey(address));
  }
}

function emitOutside(port: ServicePort, counts: IndexCounts, emitter: Emitter, sink: ElementSink): void {
  const restricted = new Set(port.sourceRanges.length === 0 ? [] : port.loadBalancerIPs);
  for (const vip of new Set([...port.externalIPs, ...port.loadBalancerIPs])) {
    // The cluster IP comes first when somebody has given it out again.
    if (vip === port.clusterIP) continue;
    const key = ipKey(vip) + emitter.portKey;
    if (restricted.has(vip)) emitSourceRanges(port, key, sink);
    emitter.external('vip', key, counts, restricted.has(vip) ? 'firewalled' : 'open');
  }
}

/** A load-balancer IP is itself a source when this node, which may use it, reaches it. */
function emitSourceRanges(port: ServicePort, key: string, sink: ElementSink): void {
  const own = port.nodeInSourceRanges
    ? port.loadBalancerIPs.map((ip) => `${ip}/${ip.includes(':') ? 128 : 32}` as Cidr)
    : [];
  for (const cidr of withoutContained([...port.sourceRanges, ...own])) {
    const { first, last } = cidrRange(cidr);
    sink.element('source-ranges', key + first + key + last);
  }
}

type Access = 'open' | 'firewalled';

class Emitter {
  readonly #port: ServicePort;
  readonly #sink: ElementSink;
  /** Protocol and port, as keys of VIPs end. */
  readonly portKey: string;
  readonly #protocol: AffinityTime['protocol'];
  readonly #values = new Map<Endpoint, string>();
  #marks: ReadonlyMap<Endpoint, number> | undefined;

  constructor(port: ServicePort, sink: ElementSink) {
    this.#port = port;
    this.#sink = sink;
    this.#protocol = PROTOCOL[port.protocol];
    this.portKey = protocolKey(PROTOCOL_NUMBER[this.#protocol]) + portKey(port.port);
  }

  external(space: Space, key: string, counts: IndexCounts, access: Access): void {
    const port = this.#port;
    const { cluster, local } = port.endpoints;
    if (port.externalPolicy === 'Cluster') {
      this.entry(space, key, 'external', cluster, counts.external, access);
    } else {
      this.entry(space, key, 'local', local, counts.external, access, counts.shortCircuit);
      this.#endpoints(space, 'all', key, cluster, this.#pick('all', counts.shortCircuit));
    }
    if (externalVerdict(port) === 'drop') {
      this.#sink.element(space === 'vip' ? 'drop-services' : 'drop-node-ports', key);
    }
  }

  /** `beside`: how many indexes the short circuit has, where there is one. */
  entry(
    space: Space,
    key: string,
    kind: ChainKind,
    list: readonly Endpoint[],
    count: number,
    access: Access,
    beside?: number,
  ): void {
    const { affinitySeconds: seconds, name } = this.#port;
    const pick = this.#pick('own', count);
    // Of nearly all Services.
    const isDefault =
      kind === DEFAULT.kind &&
      space === DEFAULT.space &&
      pick.chain === DEFAULT.pick &&
      beside === undefined &&
      access === 'open' &&
      seconds === undefined;
    const chain: ServiceChain = isDefault
      ? DEFAULT
      : {
          kind,
          space,
          pick: pick.chain,
          ...(beside === undefined ? {} : { shortCircuit: this.#pick('all', beside).chain }),
          firewalled: access === 'firewalled',
          sticky: seconds !== undefined,
        };
    this.#sink.chain(key, chain, name);
    this.#endpoints(space, 'own', key, list, pick);
    this.#chosen(space, key, list);
    if (seconds === undefined) return;
    this.#sink.sticky(
      space === 'vip' ? 'services' : 'node-ports',
      { seconds, protocol: this.#protocol },
      key,
    );
  }

  /** Whom a mark may name, beside the indexes, which are for packets without one. */
  #chosen(space: Space, key: string, list: readonly Endpoint[]): void {
    if (!isChosenFor(this.#port)) return;
    this.#marks ??= choiceMarks(this.#port);
    for (const endpoint of list) {
      const mark = this.#marks.get(endpoint);
      if (mark === undefined) continue;
      const set = space === 'vip' ? 'chosen' : 'node-port-chosen';
      this.#sink.element(set, indexKey(mark) + key, this.#valueOf(endpoint));
    }
  }

  /** Who chooses does not know which of two lists a client is for. */
  #pick(from: From, count: number): { readonly chain: Pick; readonly count: number } {
    const algorithm = kernelAlgorithm(this.#port.balancing.algorithm);
    const isDrawn = algorithm === 'chosen' && (from === 'all' || !isChosenFor(this.#port));
    if (isDrawn || algorithm === 'random') return { chain: RANDOM, count };
    const isSized = algorithm === 'maglev' || algorithm === 'round-robin';
    const chain: Pick = {
      algorithm,
      size: isSized ? count : 0,
      owner: algorithm === 'round-robin' ? ownerText(this.#port) : '',
    };
    return { chain, count };
  }

  #endpoints(
    space: Space,
    from: From,
    key: string,
    endpoints: readonly Endpoint[],
    { chain, count }: { readonly chain: Pick; readonly count: number },
  ): void {
    const isTurns = chain.algorithm === 'round-robin';
    const set: SetName = `${space === 'vip' ? '' : 'node-port-'}${isTurns ? 'turns' : 'endpoints'}`;
    const indexes = layOut(endpoints, this.#port.balancing);
    const draw = drawOf(space, from, chain);
    if (draw) this.#sink.draw(draw, count);
    const first = draw ? firstIndex(from, count) : offsetOf(from);
    if (indexes instanceof Uint32Array && this.#sink.table) {
      const values = endpoints.map((endpoint) => this.#valueOf(endpoint));
      this.#sink.table({ set, key, first, entries: indexes, values });
      return;
    }
    const places = isTurns ? filledTurns(count, indexes.length) : undefined;
    const filled = places?.length ?? Math.min(indexes.length, count);
    for (let i = 0; i < filled; i++) {
      const at = indexes[i % indexes.length];
      const endpoint = typeof at === 'number' ? endpoints[at] : at;
      if (endpoint)
        this.#sink.element(set, key + indexKey(first + (places?.[i] ?? i)), this.#valueOf(endpoint));
    }
  }

  #valueOf(endpoint: Endpoint): string {
    let value = this.#values.get(endpoint);
    if (value === undefined) {
      value = ipKey(endpoint.address) + portKey(endpoint.port);
      this.#values.set(endpoint, value);
    }
    return value;
  }
}

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
import { ownerText } from './ownerText.js';
import type { ChainKind, Pick, ServiceChain, Space } from './ServiceChain.js';
import { type SetName, SHORT_CIRCUIT_OFFSET } from './sets.js';
import { filledSlots, slotCount } from './slotCount.js';

/** How many indexes each list of endpoints of a service port has. */
export interface SlotCounts {
  /** For traffic under the policies in force. */
  readonly internal: number;
  readonly external: number;
  /** For the short circuit of external policy Local. */
  readonly shortCircuit: number;
}

export interface ElementSink {
  /** `value` undefined for a set. */
  element(set: SetName, key: string, value?: string): void;
  /** A key that several service ports may put into a set. */
  shared(set: 'cluster-ips' | 'hairpins', key: string): void;
  /** A key of a verdict map and the chain to go on in. `servicePort`: its name, for who lists the rules. */
  chain(set: SetName, key: string, chain: ServiceChain, servicePort: string): void;
  /** A VIP or node port with session affinity. */
  sticky(of: 'services' | 'node-ports', time: AffinityTime, key: string): void;
}

const PROTOCOL = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

/** `before`: the counts in force, to be kept where possible. */
export function countSlots(port: ServicePort, before: SlotCounts | undefined): SlotCounts {
  const { endpoints, balancing } = port;
  const count = (list: readonly Endpoint[], previous: number | undefined) =>
    sizeOf(list, balancing, previous);
  const internal = port.internalPolicy === 'Local' ? endpoints.local : endpoints.cluster;
  const external = port.externalPolicy === 'Local' ? endpoints.local : endpoints.cluster;
  return {
    internal: count(internal, before?.internal),
    external:
      external === internal && before?.external === before?.internal
        ? count(internal, before?.internal)
        : count(external, before?.external),
    shortCircuit: port.externalPolicy === 'Local' ? count(endpoints.cluster, before?.shortCircuit) : 0,
  };
}

/** How many indexes a list has. */
function sizeOf(
  endpoints: readonly Endpoint[],
  { algorithm, weights, mostEntries }: Balancing,
  previous: number | undefined,
): number {
  if (algorithm === 'maglev') return Math.max(maglevSize(endpoints, weights, mostEntries), 1);
  const wanted = slotsSize(endpoints, weights, mostEntries);
  const kernel = kernelAlgorithm(algorithm);
  return kernel === 'random' || kernel === 'chosen' ? slotCount(previous, wanted) : Math.max(wanted, 1);
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

/** How many elements a service port has in the maps of endpoints. */
export function countElements(port: ServicePort, counts: SlotCounts): { vips: number; nodePorts: number } {
  const outside = counts.external + counts.shortCircuit;
  const inside = port.clusterIP === undefined ? 0 : counts.internal;
  return {
    vips: inside + (port.externalIPs.length + port.loadBalancerIPs.length) * outside,
    nodePorts: port.nodePort === 0 ? 0 : outside,
  };
}

export function emitServicePort(port: ServicePort, counts: SlotCounts, sink: ElementSink): void {
  const emitter = new Emitter(port, sink);
  const { endpoints, clusterIP } = port;
  const internal = port.internalPolicy === 'Local' ? endpoints.local : endpoints.cluster;
  if (clusterIP !== undefined) {
    const key = ipKey(clusterIP) + emitter.portKey;
    sink.shared('cluster-ips', ipKey(clusterIP));
    emitter.entry('vip', key, 'cluster', internal, counts.internal, 'open');
    if (internalVerdict(port) === 'drop') sink.element('drop-services', key);
  }
  const restricted = new Set(port.sourceRanges.length === 0 ? [] : port.loadBalancerIPs);
  for (const vip of new Set([...port.externalIPs, ...port.loadBalancerIPs])) {
    // The cluster IP comes first when somebody has given it out again.
    if (vip === clusterIP) continue;
    const key = ipKey(vip) + emitter.portKey;
    if (restricted.has(vip)) emitSourceRanges(port, key, sink);
    emitter.external('vip', key, counts, restricted.has(vip) ? 'firewalled' : 'open');
  }
  if (port.nodePort !== 0) {
    const key = protocolKey(PROTOCOL_NUMBER[PROTOCOL[port.protocol]]) + portKey(port.nodePort);
    emitter.external('node-port', key, counts, 'open');
    // The node is no outsider: policy Local does not bind it.
    const served = slotsSize(endpoints.cluster, port.balancing.weights) > 0;
    if (port.protocol !== 'SCTP') sink.element(served ? 'localhost-node-ports' : 'localhost-refused', key);
  }
  for (const { local, nodeUnknown, address } of endpoints.reachable) {
    if (local || nodeUnknown) sink.shared('hairpins', ipKey(address) + ipKey(address));
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

  external(space: Space, key: string, counts: SlotCounts, access: Access): void {
    const port = this.#port;
    const { cluster, local } = port.endpoints;
    if (port.externalPolicy === 'Cluster') {
      this.entry(space, key, 'external', cluster, counts.external, access);
    } else {
      this.entry(space, key, 'local', local, counts.external, access);
      this.#shortCircuit(space, key, cluster, counts.shortCircuit);
    }
    if (externalVerdict(port) === 'drop') {
      this.#sink.element(space === 'vip' ? 'drop-services' : 'drop-node-ports', key);
    }
  }

  entry(
    space: Space,
    key: string,
    kind: ChainKind,
    list: readonly Endpoint[],
    size: number,
    access: Access,
  ): void {
    this.#verdict(space === 'vip' ? 'service-ips' : 'node-ports', key, { space, kind, size, access });
    this.#endpoints(space, key, list, size, 0);
    this.#chosen(space, key, list);
    const { affinitySeconds: seconds } = this.#port;
    if (seconds === undefined) return;
    this.#sink.sticky(
      space === 'vip' ? 'services' : 'node-ports',
      { seconds, protocol: this.#protocol },
      key,
    );
  }

  #shortCircuit(space: Space, key: string, list: readonly Endpoint[], size: number): void {
    const set = space === 'vip' ? 'short-circuits' : 'node-port-short-circuits';
    this.#verdict(set, key, { space, kind: 'short-circuit', size, access: 'open' });
    this.#endpoints(space, key, list, size, SHORT_CIRCUIT_OFFSET);
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

  #verdict(
    set: SetName,
    key: string,
    { space, kind, size, access }: { space: Space; kind: ChainKind; size: number; access: Access },
  ): void {
    const { balancing, affinitySeconds } = this.#port;
    const algorithm = kernelAlgorithm(balancing.algorithm);
    // Who chooses does not know which of the two lists a client is for.
    const isDrawn = algorithm === 'chosen' && (kind === 'short-circuit' || !isChosenFor(this.#port));
    const pick: Pick = {
      algorithm: isDrawn ? 'random' : algorithm,
      size,
      owner: balancing.algorithm === 'round-robin' ? ownerText(this.#port) : '',
    };
    const chain = {
      kind,
      space,
      pick,
      firewalled: access === 'firewalled',
      sticky: affinitySeconds !== undefined,
    };
    this.#sink.chain(set, key, chain, this.#port.name);
  }

  #endpoints(space: Space, key: string, endpoints: readonly Endpoint[], size: number, offset: number): void {
    const set = space === 'vip' ? 'endpoints' : 'node-port-endpoints';
    const indexes = layOut(endpoints, this.#port.balancing);
    const filled = filledSlots(size, indexes.length);
    for (let index = 0; index < filled; index++) {
      const at = indexes[index % indexes.length];
      const endpoint = typeof at === 'number' ? endpoints[at] : at;
      if (endpoint) this.#sink.element(set, key + indexKey(index + offset), this.#valueOf(endpoint));
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

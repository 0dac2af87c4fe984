/** The first packet of a connection on its way through somebody's rules, and what becomes of it. */
import { familyOf, type IpAddress, type IpFamily, isLoopback } from '../net/ip.js';
import type { Protocol } from '../objects/Service.js';

export interface PacketFlow {
  readonly origin: 'pod' | 'node' | 'external';
  readonly source: IpAddress;
  /** Where the packet enters; '' for packets of the node itself. */
  readonly interface: string;
  readonly protocol: Protocol;
  readonly destination: IpAddress;
  readonly port: number;
}

/** Immutable: branches (random choices of the rules) must not see each other. */
export interface Packet {
  readonly flow: PacketFlow;
  /** The flow's, or after DNAT the endpoint's. */
  readonly destination: IpAddress;
  readonly port: number;
  /** `10.0.0.1:80`, `[fd00::1]:80` once the destination was translated. */
  readonly translated: string | undefined;
  readonly mark: number;
  readonly masqueraded: boolean;
  /** Of being here, over all random choices so far. */
  readonly chance: number;
  /** Here because session affinity remembered the client, in this list: not its first connection. */
  readonly remembered: string | undefined;
  /** The list that the client was put on, to be remembered. */
  readonly learned: string | undefined;
}

/** How a packet leaves a chain. `continue`: at its end, with no verdict. */
export interface Walked {
  readonly packet: Packet;
  readonly verdict: 'continue' | 'return' | 'accept' | 'DROP' | 'REJECT';
}

/** Every way that the packet may go. NONE: it goes on to its destination untouched. */
export interface Reach {
  readonly verdicts: ReadonlySet<'DROP' | 'REJECT' | 'NONE'>;
  /** By `ip:port`. */
  readonly endpoints: ReadonlyMap<string, ReachedEndpoint>;
}

export interface ReachedEndpoint {
  /** The endpoint sees an address of the node instead of the client's. */
  readonly masqueraded: boolean;
  /** Of the connections, 0 to 1; undefined where a scheduler decides. */
  readonly share: number | undefined;
  /** Session affinity leads a client back. */
  readonly sticky: boolean;
}

export interface RuleTracer {
  trace(flow: PacketFlow): Reach;
}

export function startOf(flow: PacketFlow): Packet {
  const { destination, port } = flow;
  return {
    flow,
    destination,
    port,
    translated: undefined,
    mark: 0,
    masqueraded: false,
    chance: 1,
    remembered: undefined,
    learned: undefined,
  };
}

export function reachOf(walked: Iterable<Walked>): Reach {
  const verdicts = new Set<'DROP' | 'REJECT' | 'NONE'>();
  const endpoints = new Map<string, ReachedEndpoint>();
  /** Lists that lead there, and those that a first connection puts its client on. */
  const [remembered, learned] = [new Map<string, string>(), new Map<string, string>()];
  for (const { packet, verdict } of walked) {
    const { translated, masqueraded, chance } = packet;
    if (packet.remembered !== undefined) {
      if (translated !== undefined) remembered.set(translated, packet.remembered);
    } else if (verdict === 'DROP' || verdict === 'REJECT') verdicts.add(verdict);
    else if (translated === undefined) verdicts.add('NONE');
    else {
      const before = endpoints.get(translated);
      if (packet.learned !== undefined) learned.set(translated, packet.learned);
      endpoints.set(translated, {
        masqueraded: masqueraded || before?.masqueraded === true,
        share: (before?.share ?? 0) + chance,
        sticky: false,
      });
    }
  }
  for (const [target, endpoint] of endpoints) {
    const list = remembered.get(target);
    if (list !== undefined && list === learned.get(target))
      endpoints.set(target, { ...endpoint, sticky: true });
  }
  return { verdicts, endpoints };
}

/** Goes on with what was not refused. */
export function onward(walked: readonly Walked[], next: (packet: Packet) => readonly Walked[]): Walked[] {
  return walked.flatMap((w) => (w.verdict === 'DROP' || w.verdict === 'REJECT' ? [w] : next(w.packet)));
}

export function familyOfFlow(flow: PacketFlow): IpFamily {
  return familyOf(flow.destination);
}

/** Whether an address is one of the machine's own. */
export function localAddresses(addresses: Iterable<string>): (address: IpAddress) => boolean {
  const own = new Set(addresses);
  return (address) => isLoopback(address) || own.has(address);
}

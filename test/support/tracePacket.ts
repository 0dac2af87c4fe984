/**
 * Follows the first packet of a flow through iptables rules as netfilter would, random choices into every branch.
 */

import type { Outcome } from '../../src/explain/Decision.js';
import type { Flow } from '../../src/explain/World.js';
import { type Packet, parseRule, type Rule } from './parseRule.js';

type Table = 'filter' | 'nat';

interface Walked {
  readonly packet: Packet;
  readonly verdict: 'continue' | 'return' | 'accept' | 'DROP' | 'REJECT';
}

export class PacketTracer {
  readonly #chains: ReadonlyMap<string, readonly Rule[]>;
  readonly #isLocal: (address: string) => boolean;

  /** `rules`: as FakeXtables.dump(). `addresses`: of the machine; 127.0.0.0/8 and ::1 are so always. */
  constructor(rules: Readonly<Record<string, readonly string[]>>, addresses: readonly string[]) {
    this.#chains = new Map(Object.entries(rules).map(([chain, list]) => [chain, list.map(parseRule)]));
    this.#isLocal = (address) =>
      address === '::1' || address.startsWith('127.') || addresses.includes(address);
  }

  /** As evaluate(): endpoints sorted by target. Throws when a packet may meet both endpoints and refusals. */
  trace(flow: Flow): Outcome {
    const { destination, port } = flow;
    const start: Packet = {
      flow,
      destination,
      port,
      translated: undefined,
      mark: 0,
      masqueraded: false,
      chance: 1,
      isLocal: this.#isLocal,
    };
    const chances = new Map<string, number>();
    for (const { packet, verdict } of this.#travel(start)) {
      const refused = verdict === 'DROP' || verdict === 'REJECT';
      const key = refused ? verdict : `${packet.translated ?? 'NONE'} ${packet.masqueraded}`;
      chances.set(key, (chances.get(key) ?? 0) + packet.chance);
    }
    const keys = [...chances.keys()];
    if (keys.length === 1 && (keys[0] === 'DROP' || keys[0] === 'REJECT')) return keys[0];
    if (keys.length === 1 && keys[0] === 'NONE false') return 'NONE';
    return keys.sort().map((key) => {
      const [target = '', masquerade] = key.split(' ');
      if (!target.includes(':')) throw new Error(`mixed outcomes: ${keys.join(', ')}`);
      return { target, masquerade: masquerade === 'true', chance: chances.get(key) ?? 0 };
    });
  }

  #travel(start: Packet): Walked[] {
    const sentOut = (p: Packet) => this.#base('nat', 'POSTROUTING', p);
    if (start.flow.origin !== 'node') {
      return then(this.#base('nat', 'PREROUTING', start), (p) =>
        p.isLocal(p.destination)
          ? this.#base('filter', 'INPUT', p)
          : then(this.#base('filter', 'FORWARD', p), sentOut),
      );
    }
    const sent = then(this.#base('nat', 'OUTPUT', start), (p) => this.#base('filter', 'OUTPUT', p));
    // What a node sends itself comes in again; the nat table is asked once only.
    return then(then(sent, sentOut), (p) =>
      p.isLocal(p.destination)
        ? this.#base('filter', 'INPUT', p)
        : [{ packet: p, verdict: 'accept' as const }],
    );
  }

  #base(table: Table, chain: string, packet: Packet): Walked[] {
    return this.#walk(table, chain, packet, 0);
  }

  #walk(table: Table, chain: string, start: Packet, depth: number): Walked[] {
    const rules = this.#chains.get(`${table} ${chain}`);
    if (!rules || depth > 16) throw new Error(`jump to missing chain, or loop: ${chain} (${table})`);
    const done: Walked[] = [];
    let here = [start];
    for (const rule of rules) {
      const still: Packet[] = [];
      for (const packet of here) {
        if (!rule.matches.every((match) => match(packet))) {
          still.push(packet);
          continue;
        }
        if (rule.chance < 1) still.push({ ...packet, chance: packet.chance * (1 - rule.chance) });
        const taken = rule.chance < 1 ? { ...packet, chance: packet.chance * rule.chance } : packet;
        for (const walked of this.#apply(table, rule.target, taken, depth)) {
          if (walked.verdict === 'continue') still.push(walked.packet);
          else done.push(walked);
        }
      }
      here = still;
    }
    // RETURN ends this chain only.
    const ended = done.map((w) => (w.verdict === 'return' ? { ...w, verdict: 'continue' as const } : w));
    return [...ended, ...here.map((packet) => ({ packet, verdict: 'continue' as const }))];
  }

  #apply(table: Table, target: readonly string[], packet: Packet, depth: number): Walked[] {
    const [name, option, value = ''] = target;
    const unknown = () => new Error(`unknown target ${target.join(' ')} (${table})`);
    switch (name) {
      case undefined:
        return [{ packet, verdict: 'continue' }];
      case 'RETURN':
        return [{ packet, verdict: 'return' }];
      case 'ACCEPT':
        return [{ packet, verdict: 'accept' }];
      case 'DROP':
      case 'REJECT':
        if (table !== 'filter' || option !== undefined) throw unknown();
        return [{ packet, verdict: name }];
      case 'MARK': {
        if (option !== '--or-mark' && option !== '--xor-mark') throw unknown();
        const mark = option === '--or-mark' ? packet.mark | Number(value) : packet.mark ^ Number(value);
        return [{ packet: { ...packet, mark }, verdict: 'continue' }];
      }
      case 'MASQUERADE':
        if (option !== undefined && option !== '--random-fully') throw unknown();
        return [{ packet: { ...packet, masqueraded: true }, verdict: 'accept' }];
      case 'DNAT': {
        if (option !== '--to-destination' || table !== 'nat') throw unknown();
        const { address, port } = splitTarget(value);
        return [{ packet: { ...packet, destination: address, port, translated: value }, verdict: 'accept' }];
      }
      default:
        if (option !== undefined) throw unknown();
        return this.#walk(table, name, packet, depth + 1);
    }
  }
}

function then(walked: readonly Walked[], next: (packet: Packet) => Walked[]): Walked[] {
  return walked.flatMap((w) => (w.verdict === 'DROP' || w.verdict === 'REJECT' ? [w] : next(w.packet)));
}

/** `10.0.0.1:80`, `[fd00::1]:80` */
function splitTarget(target: string): { address: string; port: number } {
  const at = target.lastIndexOf(':');
  return { address: target.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(target.slice(at + 1)) };
}

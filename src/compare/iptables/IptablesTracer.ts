/** Follows the first packet of a flow through iptables rules as netfilter would, random choices into every branch. */
import { type IpAddress, joinHostPort, parseIp } from '../../net/ip.js';
import {
  onward,
  type Packet,
  type PacketFlow,
  type Reach,
  type RuleTracer,
  reachOf,
  startOf,
  type Walked,
} from '../Packet.js';
import { UnknownForm } from '../UnknownForm.js';
import { parseRule, type Rule, type RuleWorld } from './parseRule.js';
import type { SavedRules } from './readSave.js';

type Table = 'filter' | 'nat';

/** Chains of a proxy. Rules of others in the built-in chains are not followed. */
const OURS = /^(KUBE-|PENSTOCK-)/;

interface Chain {
  readonly rules: readonly Rule[];
  /** Positions of rules that are for one destination, and of all others; both ascending. */
  readonly byDestination: ReadonlyMap<IpAddress, readonly number[]>;
  readonly others: readonly number[];
}

export class IptablesTracer implements RuleTracer {
  readonly #saved: SavedRules;
  readonly #world: RuleWorld;
  readonly #chains = new Map<string, Chain>();

  constructor(saved: SavedRules, world: RuleWorld) {
    this.#saved = saved;
    this.#world = world;
  }

  /** Throws UnknownForm. */
  trace(flow: PacketFlow): Reach {
    return reachOf(this.walk(flow));
  }

  /** Every way of the packet by itself. Throws UnknownForm. */
  walk(flow: PacketFlow): readonly Walked[] {
    return this.#travel(startOf(flow));
  }

  /** Rules of built-in chains that lead to no chain of a proxy: they are not followed. */
  foreignRules(): readonly string[] {
    return [...this.#saved.chains].flatMap(([key, rules]) =>
      isBuiltIn(key) ? rules.filter((rule) => !leadsToProxy(rule)).map((rule) => `${key}: ${rule}`) : [],
    );
  }

  #travel(start: Packet): readonly Walked[] {
    const { isLocal } = this.#world;
    const sentOut = (p: Packet) => this.#base('nat', 'POSTROUTING', p);
    if (start.flow.origin !== 'node') {
      return onward(this.#base('nat', 'PREROUTING', start), (p) =>
        isLocal(p.destination)
          ? onward(this.#base('filter', 'INPUT', p), (q) => this.#balanced(q) ?? accepted(q))
          : onward(this.#base('filter', 'FORWARD', p), sentOut),
      );
    }
    const sent = onward(this.#base('nat', 'OUTPUT', start), (p) => this.#base('filter', 'OUTPUT', p));
    // What a node sends itself comes in again; the nat table is asked once only.
    return onward(
      sent,
      (p) =>
        this.#balanced(p) ??
        onward(sentOut(p), (q) => (isLocal(q.destination) ? this.#base('filter', 'INPUT', q) : accepted(q))),
    );
  }

  /** IPVS takes what is for one of its virtual servers, after INPUT and OUTPUT. Undefined: it is for none. */
  #balanced(packet: Packet): readonly Walked[] | undefined {
    const targets = this.#world.balance?.(packet);
    if (targets === undefined) return undefined;
    // Without a real server the kernel answers "port unreachable".
    if (targets.length === 0) return [{ packet, verdict: 'REJECT' }];
    return targets.flatMap((translated) => {
      const target = splitTarget(translated);
      if (target === undefined) return [];
      const { address, port } = target;
      return this.#base('nat', 'POSTROUTING', { ...packet, destination: address, port, translated });
    });
  }

  #base(table: Table, chain: string, packet: Packet): Walked[] {
    return this.#walk(table, chain, packet, 0);
  }

  #walk(table: Table, name: string, start: Packet, depth: number): Walked[] {
    const chain = this.#chain(table, name, depth);
    const done: Walked[] = [];
    let here = [start];
    for (const position of positions(chain, start.destination)) {
      const rule = chain.rules[position];
      if (rule === undefined || here.length === 0) break;
      const still: Packet[] = [];
      for (const packet of here) {
        if (!rule.matches.every((match) => match(packet))) {
          still.push(packet);
          continue;
        }
        if (rule.asksFor !== undefined) {
          still.push(packet);
          // Nobody remembers whom the packet was led to twice.
          if (packet.remembered !== undefined) continue;
        } else if (rule.chance < 1) still.push({ ...packet, chance: packet.chance * (1 - rule.chance) });
        const chance = rule.asksFor === undefined ? packet.chance * rule.chance : 0;
        const taken = {
          ...packet,
          chance,
          remembered: packet.remembered ?? rule.asksFor,
          learned: rule.learns ?? packet.learned,
        };
        for (const walked of this.#apply(table, rule, taken, depth)) {
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

  #chain(table: Table, name: string, depth: number): Chain {
    const key = `${table} ${name}`;
    const known = this.#chains.get(key);
    if (known) return known;
    const texts = this.#saved.chains.get(key);
    if (!texts && !isBuiltIn(key)) throw new UnknownForm(`a jump to ${name}, which is not there`, key);
    if (depth > 32) throw new UnknownForm('a loop of chains', key);
    const rules = (texts ?? [])
      .filter((text) => !isBuiltIn(key) || leadsToProxy(text))
      .map((text) => parseRule(text, this.#world));
    const byDestination = new Map<IpAddress, number[]>();
    const others: number[] = [];
    for (const [i, { destination }] of rules.entries()) {
      if (destination === undefined) others.push(i);
      else byDestination.set(destination, [...(byDestination.get(destination) ?? []), i]);
    }
    const chain = { rules, byDestination, others };
    this.#chains.set(key, chain);
    return chain;
  }

  #apply(table: Table, rule: Rule, packet: Packet, depth: number): Walked[] {
    const [name, option, value = ''] = rule.target;
    const unknown = () => new UnknownForm(rule.target.join(' '), rule.text);
    switch (name) {
      case undefined:
        return [{ packet, verdict: 'continue' }];
      case 'RETURN':
        return [{ packet, verdict: 'return' }];
      case 'ACCEPT':
        return [{ packet, verdict: 'accept' }];
      case 'DROP':
      case 'REJECT':
        if (table !== 'filter') throw unknown();
        return [{ packet, verdict: name }];
      case 'MARK':
        return [
          {
            packet: { ...packet, mark: marked(packet.mark, option, value) ?? fail(unknown()) },
            verdict: 'continue',
          },
        ];
      case 'MASQUERADE':
        return [{ packet: { ...packet, masqueraded: true }, verdict: 'accept' }];
      case 'DNAT': {
        const target = option === '--to-destination' ? splitTarget(value) : undefined;
        if (target === undefined) throw unknown();
        const { address, port } = target;
        const translated = joinHostPort(address, port);
        return [{ packet: { ...packet, destination: address, port, translated }, verdict: 'accept' }];
      }
      default:
        if (option !== undefined) throw unknown();
        return this.#walk(table, name, packet, depth + 1);
    }
  }
}

function accepted(packet: Packet): readonly Walked[] {
  return [{ packet, verdict: 'accept' }];
}

function fail(error: Error): never {
  throw error;
}

function isBuiltIn(key: string): boolean {
  return /^\w+ (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)$/.test(key);
}

function leadsToProxy(rule: string): boolean {
  return OURS.test(/ ?-[jg] (\S+)/.exec(rule)?.[1] ?? '');
}

/** Undefined: an option that is not known. */
function marked(mark: number, option: string | undefined, value: string): number | undefined {
  const [bits = 0, mask = 0xffffffff] = value.split('/').map(Number);
  switch (option) {
    case '--or-mark':
      return (mark | bits) >>> 0;
    case '--and-mark':
      return (mark & bits) >>> 0;
    case '--xor-mark':
      return (mark ^ bits) >>> 0;
    case '--set-xmark':
      return ((mark & ~mask) ^ bits) >>> 0;
    case '--set-mark':
      return ((mark & ~mask) | bits) >>> 0;
    default:
      return undefined;
  }
}

/** `10.0.0.1:80`, `[fd00::1]:80` */
function splitTarget(target: string): { address: IpAddress; port: number } | undefined {
  const at = target.lastIndexOf(':');
  const address = parseIp(target.slice(0, at).replace(/^\[|\]$/g, ''));
  return address && { address, port: Number(target.slice(at + 1)) };
}

/** Of the rules that this destination can match, in order. */
function* positions({ byDestination, others }: Chain, destination: IpAddress): Generator<number> {
  const own = byDestination.get(destination) ?? [];
  let i = 0;
  for (const other of others) {
    for (let at = own[i]; at !== undefined && at < other; at = own[i]) {
      yield at;
      i++;
    }
    yield other;
  }
  yield* own.slice(i);
}

/** Follows the first packet of a flow through the tables of a proxy as nft lists them; random choices into every branch. */
import { type IpAddress, joinHostPort, parseIp } from '../../net/ip.js';
import { addressTest, interfaceMatches } from '../matchers.js';
import {
  familyOfFlow,
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
import { canonicalValue, fieldsOf, makeSet, type NftChain, type NftSet, type NftTable } from './Ruleset.js';

/** Tables of other names are not followed. */
const OURS = /^(kube-proxy|penstock.*)$/;

/** Sets of clients that kube-proxy remembers, one for each endpoint. */
const AFFINITY = /^@affinity-/;

/** What one selector gives: several values for a random choice. */
type Values = readonly string[];

export class NftTracer implements RuleTracer {
  readonly #tables: readonly NftTable[];
  readonly #isLocal: (address: IpAddress) => boolean;
  readonly #anonymous = new Map<string, NftSet>();

  constructor(tables: readonly NftTable[], isLocal: (address: IpAddress) => boolean) {
    this.#tables = tables.filter(({ name }) => OURS.test(name));
    this.#isLocal = isLocal;
  }

  /** No table of a proxy is there. */
  get isEmpty(): boolean {
    return this.#tables.length === 0;
  }

  /** Throws UnknownForm. */
  trace(flow: PacketFlow): Reach {
    const tables = this.#tables.filter(
      ({ family }) => family === 'inet' || family === (familyOfFlow(flow) === 'IPv6' ? 'ip6' : 'ip'),
    );
    const hook = (name: string) => (packet: Packet) => this.#hook(tables, name, packet);
    const isHere = (p: Packet) => this.#isLocal(p.destination);
    const start = startOf(flow);
    if (flow.origin !== 'node') {
      return reachOf(
        onward(hook('prerouting')(start), (p) =>
          isHere(p) ? hook('input')(p) : onward(hook('forward')(p), hook('postrouting')),
        ),
      );
    }
    const sent = onward(hook('output')(start), hook('postrouting'));
    // What a node sends itself comes in again; nat chains are asked once only.
    return reachOf(onward(sent, (p) => (isHere(p) ? hook('input')(p) : [{ packet: p, verdict: 'accept' }])));
  }

  #hook(tables: readonly NftTable[], name: string, packet: Packet): Walked[] {
    const chains = tables
      .flatMap((table) => [...table.chains.values()].map((chain) => ({ table, chain })))
      .filter(({ chain }) => chain.hook?.name === name)
      .sort((a, b) => (a.chain.hook?.priority ?? 0) - (b.chain.hook?.priority ?? 0));
    let walked: Walked[] = [{ packet, verdict: 'continue' }];
    for (const { table, chain } of chains) walked = onward(walked, (p) => this.#chain(table, chain, p, 0));
    return walked;
  }

  #chain(table: NftTable, chain: NftChain, start: Packet, depth: number): Walked[] {
    const done: Walked[] = [];
    let here: Packet[] = [start];
    for (const rule of chain.rules) {
      const still: Packet[] = [];
      for (const packet of here) {
        for (const walked of new RuleWalk(this, table, rule, depth).from(0, packet)) {
          if (walked.verdict === 'continue') still.push(walked.packet);
          else done.push(walked);
        }
      }
      here = still;
      if (here.length === 0) break;
    }
    const ended = done.map((w) => (w.verdict === 'return' ? { ...w, verdict: 'continue' as const } : w));
    return [...ended, ...here.map((packet) => ({ packet, verdict: 'continue' as const }))];
  }

  /** `goto` and `jump` differ in what follows the other chain: nothing, or the rest of this one. */
  enter(table: NftTable, how: string, name: string, packet: Packet, depth: number, rule: string): Walked[] {
    const chain = table.chains.get(name);
    if (chain === undefined) throw new UnknownForm(`a chain ${name} that is not there`, rule);
    if (depth > 32) throw new UnknownForm('a loop of chains', rule);
    const walked = this.#chain(table, chain, packet, depth + 1);
    if (how === 'jump') return walked;
    return walked.map((w) => (w.verdict === 'continue' ? { ...w, verdict: 'return' as const } : w));
  }

  isLocal(address: IpAddress): boolean {
    return this.#isLocal(address);
  }

  /** `@name`, or `{ … }` in the rule itself. */
  set(table: NftTable, words: readonly string[], rule: string): NftSet {
    const [first = ''] = words;
    if (first.startsWith('@')) {
      const set = table.sets.get(first.slice(1));
      if (set === undefined) throw new UnknownForm(`a set ${first} that is not there`, rule);
      return set;
    }
    const key = words.join(' ');
    let set = this.#anonymous.get(key);
    if (set === undefined) {
      set = makeSet(splitAt(words.slice(1, -1), ','));
      this.#anonymous.set(key, set);
    }
    return set;
  }
}

/** One rule on its way through one packet. */
class RuleWalk {
  readonly #tracer: NftTracer;
  readonly #table: NftTable;
  readonly #words: readonly string[];
  readonly #depth: number;

  constructor(tracer: NftTracer, table: NftTable, words: readonly string[], depth: number) {
    this.#tracer = tracer;
    this.#table = table;
    this.#words = words;
    this.#depth = depth;
  }

  from(at: number, packet: Packet): Walked[] {
    const word = this.#words[at];
    const next = (step: number, changed = packet) => this.from(at + step, changed);
    switch (word) {
      case undefined:
      case 'comment':
        return [{ packet, verdict: 'continue' }];
      case 'accept':
        return [{ packet, verdict: 'accept' }];
      case 'return':
        return [{ packet, verdict: 'return' }];
      case 'continue':
        return [{ packet, verdict: 'continue' }];
      case 'drop':
        return [{ packet, verdict: 'DROP' }];
      case 'reject':
        return [{ packet, verdict: 'REJECT' }];
      case 'masquerade':
        return [{ packet: { ...packet, masqueraded: true }, verdict: 'accept' }];
      case 'counter':
        return next(this.#words[at + 1] === 'packets' ? 5 : 1);
      case 'jump':
      case 'goto':
        return this.#enter(word, this.#words[at + 1] ?? '', packet);
      case 'update':
      case 'add':
        return next(this.#words.indexOf('}', at) - at + 1, { ...packet, learned: this.#words[at + 1] });
      case 'dnat':
        return this.#translate(at + 1, packet);
      case 'meta':
        if (this.#words[at + 1] === 'mark' && this.#words[at + 2] === 'set')
          return this.#mark(at + 3, packet);
        return this.#match(at, packet);
      default:
        return this.#match(at, packet);
    }
  }

  #enter(how: string, name: string, packet: Packet): Walked[] {
    return this.#tracer.enter(this.#table, how, name, packet, this.#depth, this.#text());
  }

  /** `meta mark | 0x4000`, `0x1`. */
  #mark(at: number, packet: Packet): Walked[] {
    const isOfMark = this.#words[at] === 'meta' && this.#words[at + 1] === 'mark';
    if (!isOfMark) return this.from(at + 1, { ...packet, mark: Number(this.#words[at]) });
    const bits = Number(this.#words[at + 3]);
    const { mark } = packet;
    const results: ReadonlyMap<string | undefined, number> = new Map([
      ['|', mark | bits],
      ['^', mark ^ bits],
      ['&', mark & bits],
    ]);
    const result = results.get(this.#words[at + 2]) ?? this.#unknown(at + 2);
    return this.from(at + 4, { ...packet, mark: result >>> 0 });
  }

  /** Behind `dnat`: `to 10.0.0.1:80`, `ip to numgen random mod 2 map { 0 : 10.0.0.1 . 80 }`. */
  #translate(at: number, packet: Packet): Walked[] {
    const start = this.#words[at] === 'to' ? at + 1 : at + 2;
    if (this.#words[start - 1] !== 'to') return this.#unknown(start - 1);
    const literal = splitHostPort(this.#words[start] ?? '');
    if (literal) return [translated(packet, literal.address, literal.port)];
    const { keys, end } = this.#key(start, packet);
    if (this.#words[end] !== 'map') return this.#unknown(end);
    const { set } = this.#setAt(end + 1);
    const walked = keys.flatMap((key): Walked[] => {
      const value = find(set, key);
      const taken = { ...packet, chance: packet.chance / keys.length };
      if (value === undefined) return [{ packet: taken, verdict: 'continue' }];
      const [address = '', port = ''] = fieldsOf(value);
      const ip = parseIp(address);
      return ip === undefined
        ? this.#unknown(end + 1)
        : [translated(taken, ip, port === '' ? packet.port : Number(port))];
    });
    return walked;
  }

  /** A selector, and what it must be; or a map of verdicts. */
  #match(at: number, packet: Packet): Walked[] {
    const fails: Walked[] = [{ packet, verdict: 'continue' }];
    const { keys, end } = this.#key(at, packet);
    const word = this.#words[end];
    if (word === 'vmap') {
      const { set, end: after } = this.#setAt(end + 1);
      return keys.flatMap((key) => {
        const taken = { ...packet, chance: packet.chance / keys.length };
        const verdict = find(set, key);
        if (verdict === undefined) return this.from(after, taken);
        const [how = '', chain = ''] = verdict;
        if (how === 'jump' || how === 'goto') return this.#enter(how, chain, taken);
        return new RuleWalk(this.#tracer, this.#table, verdict, this.#depth).from(0, taken);
      });
    }
    const operator = word === '!=' || word === '==' || word === '&' ? word : '==';
    let [value, values] = [end + (operator === word ? 1 : 0), keys];
    let negated = operator === '!=';
    if (operator === '&') {
      // `meta mark & 0x4000 != 0x0`
      const masked = keys.map(([field = '']) => [String((Number(field) & Number(this.#words[value])) >>> 0)]);
      negated = this.#words[value + 1] === '!=';
      value += negated || this.#words[value + 1] === '==' ? 2 : 1;
      values = masked;
    }
    if (AFFINITY.test(this.#words[value] ?? '')) {
      // Whoever is in the set goes on here; a client that is new does not.
      const remembered = { ...packet, chance: 0, remembered: this.#words[value] };
      return packet.remembered !== undefined ? fails : [...fails, ...this.from(value + 1, remembered)];
    }
    const { test, end: after } = this.#value(value);
    return values.flatMap((key) => (test(key) !== negated ? this.from(after, packet) : fails));
  }

  /** The key from `at` on: its alternatives, each a list of fields, and where it ends. */
  #key(at: number, packet: Packet): { readonly keys: readonly (readonly string[])[]; readonly end: number } {
    let keys: readonly (readonly string[])[] = [[]];
    let end = at;
    for (;;) {
      const { values, next } = this.#selector(end, packet);
      keys = keys.flatMap((key) => values.map((value) => [...key, value]));
      end = next;
      if (this.#words[end] !== '.') return { keys, end };
      end++;
    }
  }

  #selector(at: number, packet: Packet): { readonly values: Values; readonly next: number } {
    const [a = '', b = '', c = ''] = this.#words.slice(at, at + 3);
    const one = (value: string | number, words: number) => ({ values: [String(value)], next: at + words });
    switch (`${a} ${b}`) {
      case 'ip saddr':
      case 'ip6 saddr':
        return one(packet.flow.source, 2);
      case 'ip daddr':
      case 'ip6 daddr':
        return one(packet.destination, 2);
      case 'meta l4proto':
        return one(packet.flow.protocol.toLowerCase(), 2);
      case 'meta mark':
        return one(packet.mark, 2);
      case 'meta iifname':
        return one(packet.flow.interface, 2);
      case 'th dport':
        return one(packet.port, 2);
      case 'tcp dport':
      case 'udp dport':
      case 'sctp dport':
        return one(packet.flow.protocol.toLowerCase() === a ? packet.port : 'other protocol', 2);
      case 'ct state':
        return one('new', 2);
      case 'ct status':
        return one(packet.translated === undefined ? 'none' : 'dnat', 2);
      case 'fib saddr':
      case 'fib daddr': {
        if (c !== 'type') return this.#unknown(at);
        const address = b === 'saddr' ? packet.flow.source : packet.destination;
        return one(this.#tracer.isLocal(address) ? 'local' : 'unicast', 3);
      }
      case 'numgen random':
      case 'numgen inc': {
        const count = Number(this.#words[at + 3]);
        const offset = this.#words[at + 4] === 'offset' ? Number(this.#words[at + 5]) : 0;
        if (c !== 'mod' || !(count > 0)) return this.#unknown(at);
        const values = Array.from({ length: count }, (_, i) => String(i + offset));
        return { values, next: at + (this.#words[at + 4] === 'offset' ? 6 : 4) };
      }
      default:
        if (a === 'iifname') return one(packet.flow.interface, 1);
        return this.#unknown(at);
    }
  }

  /** What a match compares with: a literal, a list, a named set. */
  #value(at: number): { readonly test: (key: readonly string[]) => boolean; readonly end: number } {
    const word = this.#words[at] ?? '';
    if (word.startsWith('@') || word === '{') {
      const { set, end } = this.#setAt(at);
      return { test: (key) => find(set, key) !== undefined, end };
    }
    // `new,untracked` of a bit mask comes as words and commas.
    let end = at + 1;
    const literals = [word];
    while (this.#words[end] === ',' && this.#words[end + 1] !== undefined) {
      literals.push(this.#words[end + 1] ?? '');
      end += 2;
    }
    return {
      test: ([field = '']) => literals.some((literal) => fieldMatches(canonicalValue(literal), field)),
      end,
    };
  }

  #setAt(at: number): { readonly set: NftSet; readonly end: number } {
    const isNamed = this.#words[at]?.startsWith('@') === true;
    if (!isNamed && this.#words[at] !== '{') return this.#unknown(at);
    const end = isNamed ? at + 1 : this.#words.indexOf('}', at) + 1;
    return { set: this.#tracer.set(this.#table, this.#words.slice(at, end), this.#text()), end };
  }

  #text(): string {
    return this.#words.join(' ');
  }

  #unknown(at: number): never {
    throw new UnknownForm(this.#words[at] ?? 'the end of the rule', this.#text());
  }
}

function translated(packet: Packet, address: IpAddress, port: number): Walked {
  const changed = { ...packet, destination: address, port, translated: joinHostPort(address, port) };
  return { packet: changed, verdict: 'accept' };
}

/** The value of the element that has the key; a set's have no words. */
function find({ exact, ranges }: NftSet, key: readonly string[]): readonly string[] | undefined {
  return (
    exact.get(key.join(' . ')) ??
    ranges.find(({ fields }) => fields.every((field, i) => fieldMatches(field, key[i] ?? '')))?.value
  );
}

function fieldMatches(wanted: string, field: string): boolean {
  if (wanted === field || wanted === '*') return true;
  if (/^[0-9a-f.:]+[/-]/i.test(wanted)) {
    const [low, high] = wanted.split('-').map(Number);
    if (/^\d+-\d+$/.test(wanted)) return Number(field) >= (low ?? 0) && Number(field) <= (high ?? 0);
    return addressTest(wanted)?.(field as IpAddress) === true;
  }
  if (/^\d+$/.test(wanted) && /^\d+$/.test(field)) return Number(wanted) === Number(field);
  return wanted.endsWith('*') && interfaceMatches(wanted, field);
}

function splitHostPort(text: string): { address: IpAddress; port: number } | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)$/.exec(text) ?? [];
  const address = parseIp(bracketed ?? plain ?? '');
  return address && { address, port: Number(port) };
}

function splitAt(words: readonly string[], separator: string): string[][] {
  const parts: string[][] = [[]];
  for (const word of words) {
    if (word === separator) parts.push([]);
    else parts.at(-1)?.push(word);
  }
  return parts.filter((part) => part.length > 0);
}

/**
 * One iptables rule as something that can be applied to a packet. Knows the forms that penstock writes and throws on
 * every other: a new form cannot go untested.
 */
import { contains } from '../../src/explain/addresses.js';
import type { Flow } from '../../src/explain/World.js';
import { splitWords } from './ruleWords.js';

/** Immutable: branches must not see each other. */
export interface Packet {
  readonly flow: Flow;
  /** The flow's, or after DNAT the endpoint's. */
  readonly destination: string;
  readonly port: number;
  /** `address:port` once translated. */
  readonly translated: string | undefined;
  readonly mark: number;
  readonly masqueraded: boolean;
  /** Of being here, over all random choices so far. */
  readonly chance: number;
  readonly isLocal: (address: string) => boolean;
}

export type Match = (packet: Packet) => boolean;

export interface Rule {
  readonly text: string;
  readonly matches: readonly Match[];
  /** Below 1 for a random choice. */
  readonly chance: number;
  /** The target and its options; empty when the rule has none. */
  readonly target: readonly string[];
}

export function parseRule(text: string): Rule {
  const words = new Words(text);
  const matches: Match[] = [];
  let chance = 1;
  for (let option = words.next(); option !== '' && option !== '-j'; option = words.next()) {
    const negated = option === '!';
    if (negated) option = words.next();
    const value = words.next();
    if (option === '-m' && value === 'statistic') {
      words.expect('--mode', 'random', '--probability');
      chance = exactChance(words.next());
    } else if (option === '-m') {
      const match = parseMatch(value, words);
      if (match) matches.push(match);
    } else {
      const match = plainMatch(option, value) ?? words.unknown(option);
      matches.push(negated ? (p) => !match(p) : match);
    }
  }
  const target = words.rest();
  if (chance < 1 && target.length === 0) words.unknown('choice without a target');
  return { text, matches, chance, target };
}

class Words {
  readonly #text: string;
  readonly #words: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#words = splitWords(text);
  }

  /** '' at the end. */
  next(): string {
    return this.#words[this.#at++] ?? '';
  }

  rest(): readonly string[] {
    return this.#words.slice(this.#at);
  }

  /** Takes the word if it is the next one. */
  took(word: string): boolean {
    if (this.#words[this.#at] !== word) return false;
    this.#at++;
    return true;
  }

  expect(...expected: readonly string[]): void {
    for (const word of expected) if (!this.took(word)) this.unknown(this.next());
  }

  unknown(word: string): never {
    throw new Error(`unknown form at '${word}' in rule: ${this.#text}`);
  }
}

function plainMatch(option: string, value: string): Match | undefined {
  switch (option) {
    case '-s':
      return (p) => contains(value, p.flow.source);
    case '-d':
      return (p) => contains(value, p.destination);
    case '-p':
      return (p) => p.flow.protocol.toLowerCase() === value;
    case '-i':
      return (p) => interfaceMatches(value, p.flow.interface ?? '');
    case '--dport':
      return (p) => p.port === Number(value);
    default:
      return undefined;
  }
}

/** Undefined: the match is always true. */
function parseMatch(name: string, words: Words): Match | undefined {
  switch (name) {
    case 'tcp':
    case 'udp':
    case 'sctp':
      return (p) => p.flow.protocol.toLowerCase() === name;
    case 'comment':
      words.expect('--comment');
      if (words.next().length > 255) words.unknown('comment of more than 255 characters');
      return undefined;
    case 'nfacct':
      words.expect('--nfacct-name');
      words.next();
      return undefined;
    case 'conntrack': {
      const negated = words.took('!');
      words.expect('--ctstate');
      const states = words.next().split(',');
      // It is the first packet of its flow. DNAT is a state besides.
      return (p) =>
        (states.includes('NEW') || (states.includes('DNAT') && p.translated !== undefined)) !== negated;
    }
    case 'addrtype': {
      const source = words.took('--src-type');
      if (!source) words.expect('--dst-type');
      words.expect('LOCAL');
      return (p) => p.isLocal(source ? p.flow.source : p.destination);
    }
    case 'mark': {
      const negated = words.took('!');
      words.expect('--mark');
      const [bits = 0, mask = 0] = words.next().split('/').map(Number);
      return (p) => ((p.mark & mask) === bits) !== negated;
    }
    case 'recent': {
      words.expect('--name');
      words.next();
      if (words.took('--set')) return undefined;
      words.expect('--rcheck', '--seconds');
      if (!(Number(words.next()) > 0)) words.unknown('--seconds');
      words.expect('--reap');
      // A client never seen before.
      return () => false;
    }
    default:
      return words.unknown(name);
  }
}

function interfaceMatches(pattern: string, name: string): boolean {
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** Ten decimals stand for 1/n. */
function exactChance(text: string): number {
  const n = Math.round(1 / Number(text));
  if ((1 / n).toFixed(10) !== text || n < 2) throw new Error(`${text} is not 1/n with ten decimals`);
  return 1 / n;
}

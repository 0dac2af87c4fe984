/** One iptables rule as something that can be applied to a packet. Throws UnknownForm on what it does not know. */
import type { IpAddress } from '../../net/ip.js';
import { addressTest, interfaceMatches } from '../matchers.js';
import type { Packet } from '../Packet.js';
import { UnknownForm } from '../UnknownForm.js';
import { splitWords } from './splitWords.js';

export type Match = (packet: Packet) => boolean;

export interface Rule {
  readonly text: string;
  readonly matches: readonly Match[];
  /** Below 1 for a random choice: the packet may go on as if the rule did not match. */
  readonly chance: number;
  /** It is for clients on this list of the match `recent`. */
  readonly asksFor: string | undefined;
  /** The list that it puts clients on. */
  readonly learns: string | undefined;
  /** The one destination address that the rule is for, if it is for one. */
  readonly destination: IpAddress | undefined;
  /** The target and its options; empty when the rule has none. */
  readonly target: readonly string[];
}

/** What rules ask of the world. */
export interface RuleWorld {
  readonly isLocal: (address: IpAddress) => boolean;
  /** Fields: `dst,dst,src`. Undefined: there is no such set. */
  readonly inSet?: (set: string, fields: string, packet: Packet) => boolean | undefined;
  /** The real servers of the packet's virtual server, `ip:port`; undefined: it is for none. */
  readonly balance?: (packet: Packet) => readonly string[] | undefined;
}

export function parseRule(text: string, world: RuleWorld): Rule {
  const words = new Words(text);
  const matches: Match[] = [];
  let chance = 1;
  let recent: ReturnType<Words['readRecent']> = { asksFor: undefined, learns: undefined };
  let destination: IpAddress | undefined;
  for (
    let option = words.next();
    option !== '' && option !== '-j' && option !== '-g';
    option = words.next()
  ) {
    const negated = option === '!';
    if (negated) option = words.next();
    const value = words.next();
    if (option === '-m' && value === 'statistic') {
      words.expect('--mode');
      // `nth` takes turns: seen from one packet, a choice as well.
      chance = words.readChance();
    } else if (option === '-m' && value === 'recent') {
      recent = words.readRecent();
    } else if (option === '-m') {
      const match = parseMatch(value, words, world);
      if (match) matches.push(match);
    } else {
      const match = plainMatch(option, value) ?? words.unknown(option);
      if (option === '-d' && !negated) destination = singleAddress(value);
      matches.push(negated ? (p) => !match(p) : match);
    }
  }
  return { text, matches, chance, ...recent, destination, target: words.rest() };
}

function singleAddress(value: string): IpAddress | undefined {
  const [address, length] = value.split('/');
  const whole = length === undefined || length === (value.includes(':') ? '128' : '32');
  return whole ? (address as IpAddress) : undefined;
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

  readChance(): number {
    if (this.took('nth')) {
      this.expect('--every');
      const every = Number(this.next());
      if (this.took('--packet')) this.next();
      return 1 / every;
    }
    this.expect('random', '--probability');
    return exactChance(this.next());
  }

  /** The list that the rule asks, or puts the client on. */
  readRecent(): Pick<Rule, 'asksFor' | 'learns'> {
    let [name, asks, learns] = ['', false, false];
    for (;;) {
      if (this.took('--rcheck')) asks = true;
      else if (this.took('--set')) learns = true;
      else if (this.took('--name')) name = this.next();
      else if (this.took('--seconds') || this.took('--mask')) this.next();
      else if (!this.took('--reap') && !this.took('--rsource'))
        return { asksFor: asks ? name : undefined, learns: learns ? name : undefined };
    }
  }

  unknown(word: string): never {
    throw new UnknownForm(word, this.#text);
  }
}

/** Ten decimals stand for 1/n. */
function exactChance(text: string): number {
  const n = Math.round(1 / Number(text));
  return Math.abs(1 / n - Number(text)) < 1e-6 ? 1 / n : Number(text);
}

function plainMatch(option: string, value: string): Match | undefined {
  switch (option) {
    case '-s': {
      const test = addressTest(value);
      return test && ((p) => test(p.flow.source));
    }
    case '-d': {
      const test = addressTest(value);
      return test && ((p) => test(p.destination));
    }
    case '-p':
      return (p) => p.flow.protocol.toLowerCase() === value;
    case '-i':
      return (p) => interfaceMatches(value, p.flow.interface);
    case '--dport': {
      const [low, high = low] = value.split(':').map(Number);
      return (p) => p.port >= (low ?? 0) && p.port <= (high ?? 0);
    }
    default:
      return undefined;
  }
}

/** Undefined: the match is always true. */
function parseMatch(name: string, words: Words, world: RuleWorld): Match | undefined {
  switch (name) {
    case 'tcp':
    case 'udp':
    case 'sctp':
      return (p) => p.flow.protocol.toLowerCase() === name;
    case 'comment':
      words.expect('--comment');
      words.next();
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
      const negated = words.took('!');
      const source = words.took('--src-type');
      if (!source) words.expect('--dst-type');
      words.expect('LOCAL');
      return (p) => world.isLocal(source ? p.flow.source : p.destination) !== negated;
    }
    case 'mark': {
      const negated = words.took('!');
      words.expect('--mark');
      const [bits = 0, mask = 0xffffffff] = words.next().split('/').map(Number);
      return (p) => ((p.mark & mask) >>> 0 === bits >>> 0) !== negated;
    }
    case 'physdev': {
      const negated = words.took('!');
      words.expect('--physdev-is-in');
      // Whether a frame came over a bridge cannot be told from a flow: kube-proxy asks it of pods on this node.
      return (p) => (p.flow.origin === 'pod') !== negated;
    }
    case 'set': {
      const negated = words.took('!');
      words.expect('--match-set');
      const [set, fields] = [words.next(), words.next()];
      const { inSet } = world;
      if (inSet === undefined) return words.unknown(`the set ${set}`);
      return (p) => (inSet(set, fields, p) ?? words.unknown(`the set ${set}`)) !== negated;
    }
    default:
      return words.unknown(name);
  }
}

/**
 * The chains that pick an endpoint. `endpoints` finds out how many indexes a VIP or node port has, a power of two, and goes to
 * the chain that draws one of so many. So neither a Service that comes nor one that scales needs a chain or a verdict.
 *
 * For each chain that looks into a map the kernel walks all of the map's room once (nf_tables_bind_set), and for each new element
 * it visits every rule that does (nft_add_set_elem): few chains look into `endpoints`, with few rules.
 */
import type { KernelAlgorithm } from '../../../balancing/Balancing.js';
import {
  DESTINATION_PORT,
  FIELDS,
  type Field,
  hashField,
  L4_PROTOCOL,
  markField,
  numberField,
} from '../../../kernel/nftables/fields.js';
import { destinationNat, goTo, inMap, jumpTo, type Rule } from '../../../kernel/nftables/statements.js';
import type { ChainSpec } from '../../../kernel/nftables/Transaction.js';
import type { IpFamily } from '../../../net/ip.js';
import { CHOICE_MASK } from '../../../routing/choice.js';
import { type SetName, SHORT_CIRCUIT_OFFSET } from './sets.js';

/** Whether the key of an endpoint begins with the VIP, or is the node port alone. */
export type Space = 'vip' | 'node-port';

/** own: the endpoints that the policy in force allows. all: those of the short circuit. */
export type From = 'own' | 'all';

export interface Pick {
  readonly algorithm: KernelAlgorithm;
  /** How many indexes there are, where the chain depends on it: maglev, round robin. Else 0. */
  readonly size: number;
  /** For round robin, which counts for each service port: its name. */
  readonly owner: string;
}

/** Lists that are drawn from alike. */
export interface Draw {
  readonly space: Space;
  readonly from: From;
  readonly algorithm: 'random' | 'source-hash';
}

/** The numbers of indexes that a draw has chains for from the start; those of more come when they are wanted. */
export const COMMON_COUNTS: readonly number[] = [1, 2, 4, 8, 16, 32];

/** Tries of an index before the last one, which always finds an endpoint. */
const TRIES = 8;
/** Turns that are tried: the second finds an endpoint, unless other connections took turns meanwhile. */
const TURNS = 4;
/** Names of chains by what they draw: each change asks for them. */
const DRAW_NAMES = new WeakMap<Draw, string>();

export function pickChainName(space: Space, from: From, pick: Pick): string {
  return named(space, from, 'endpoints', ...pickWords(pick));
}

export function drawChainName(draw: Draw, count?: number): string {
  if (count !== undefined) return `${drawChainName(draw)}-${count}`;
  let name = DRAW_NAMES.get(draw);
  if (name === undefined) {
    const { space, from, algorithm } = draw;
    name = named(space, from, 'endpoints', ...(algorithm === 'random' ? [] : [algorithm]));
    DRAW_NAMES.set(draw, name);
  }
  return name;
}

/** Lists that are drawn from, by how many indexes they have. Every list of endpoints is noted, and few of them differ. */
export class DrawCounts {
  readonly #counts = new Map<Draw, Set<number>>();

  /** `draw`: of drawOf(). */
  add(draw: Draw, count: number): void {
    const counts = this.#counts.get(draw);
    if (counts) counts.add(count);
    else this.#counts.set(draw, new Set([count]));
  }

  *[Symbol.iterator](): Generator<DrawCount> {
    for (const [draw, counts] of this.#counts) for (const count of counts) yield { draw, count };
  }
}

export interface DrawCount {
  readonly draw: Draw;
  readonly count: number;
}

function named(space: Space, from: From, ...words: readonly string[]): string {
  return [
    ...(space === 'vip' ? [] : ['node-port']),
    ...(from === 'own' ? [] : ['short-circuit']),
    ...words,
  ].join('-');
}

/** Of the names of chains: how a list, and that of the short circuit beside it, is picked from. */
export function pickWords({ algorithm, size, owner }: Pick, beside?: Pick): readonly string[] {
  if (algorithm === 'random') return [];
  const sizes = beside === undefined || beside.size === 0 ? [size] : [size, beside.size];
  return [algorithm, ...(size === 0 ? [] : sizes.map(String)), ...(owner === '' ? [] : [owner])];
}

/** How the lists of a pick are drawn from; undefined where it has chains of its own. For the same, the same object. */
export function drawOf(space: Space, from: From, { algorithm }: Pick): Draw | undefined {
  if (algorithm === 'maglev' || algorithm === 'round-robin') return undefined;
  return DRAWS[space][from][algorithm === 'source-hash' ? 'source-hash' : 'random'];
}

const DRAWS = { vip: drawsFrom('vip'), 'node-port': drawsFrom('node-port') };

function drawsFrom(space: Space) {
  const by = (from: From): Readonly<Record<Draw['algorithm'], Draw>> => ({
    random: { space, from, algorithm: 'random' },
    'source-hash': { space, from, algorithm: 'source-hash' },
  });
  return { own: by('own'), all: by('all') };
}

/** The first index of so many: a service port has indexes of one number only, so this one says which. */
export function firstIndex(from: From, count: number): number {
  return offsetOf(from) + count;
}

export function offsetOf(from: From): number {
  return from === 'own' ? 0 : SHORT_CIRCUIT_OFFSET;
}

/** Where a list of so many indexes is found out, and where it is drawn from. `counts`: in ascending order. */
export function drawChains(
  draw: Draw,
  counts: readonly number[],
  family: IpFamily,
): readonly [dispatch: ChainSpec, ...draws: ChainSpec[]] {
  const { space, from, algorithm } = draw;
  const key = keyFields(family, space);
  const refuse: Rule = [goTo(refusing(space))];
  const rules = counts.map((count): Rule => {
    if (isFull(count)) return drawn(draw, count, count, 0, family);
    const first = numberField('random', { modulus: 1, offset: firstIndex(from, count) });
    return [inMap([...key, first], setOf(space, 'endpoints')), goTo(drawChainName(draw, count))];
  });
  const drawing = counts.filter((count) => !isFull(count));
  const chains =
    algorithm === 'random'
      ? randomChains(draw, drawing, family)
      : drawing.map((count) => hashChain(draw, count, family));
  return [{ name: drawChainName(draw), rules: [...rules, refuse] }, ...chains];
}

/** 1 and 2 have no empty index: who finds an endpoint there has so many. */
function isFull(count: number): boolean {
  return count <= 2;
}

/**
 * Some indexes are empty: it draws again, which leaves every endpoint the same chance; more than half are filled, so the lower
 * half always is. All that are drawn at random share the chain of the last try, which hardly a connection comes to.
 */
function randomChains(draw: Draw, counts: readonly number[], family: IpFamily): readonly ChainSpec[] {
  const { space } = draw;
  const last = `${drawChainName(draw)}-half`;
  const chains = counts.flatMap((count): ChainSpec[] => {
    const once = `${drawChainName(draw, count)}-once`;
    const tries = Array.from({ length: TRIES }, (): Rule => [jumpTo(once)]);
    return [
      { name: once, rules: [drawn(draw, count, count, 0, family)] },
      { name: drawChainName(draw, count), rules: [...tries, [goTo(last)]] },
    ];
  });
  const halves = counts.map((count) => drawn(draw, count, count / 2, 0, family));
  return [{ name: last, rules: [...halves, [goTo(refusing(space))]] }, ...chains];
}

/** As randomChains(), where each try is another rule. */
function hashChain(draw: Draw, count: number, family: IpFamily): ChainSpec {
  const tries = Array.from({ length: TRIES }, (_, round) => drawn(draw, count, count, round, family));
  const last = drawn(draw, count, count / 2, TRIES, family);
  return { name: drawChainName(draw, count), rules: [...tries, last, [goTo(refusing(draw.space))]] };
}

/** One of the first `among` of `count` indexes. */
function drawn(
  { space, from, algorithm }: Draw,
  count: number,
  among: number,
  round: number,
  family: IpFamily,
): Rule {
  const range = { modulus: among, offset: firstIndex(from, count) };
  const index =
    algorithm === 'random'
      ? numberField('random', range)
      : hashField([FIELDS[family].sourceAddress], range, round);
  return endpointAt(family, space, 'endpoints', index);
}

/** The chain of a pick, and those that it jumps to. None where all that are drawn alike share theirs. */
export function pickChains(space: Space, from: From, pick: Pick, family: IpFamily): readonly ChainSpec[] {
  const name = pickChainName(space, from, pick);
  const refuse: Rule = [goTo(refusing(space))];
  const range = { modulus: pick.size, offset: offsetOf(from) };
  switch (pick.algorithm) {
    case 'random':
    case 'source-hash':
      return [];
    case 'chosen': {
      const fields = [markField(CHOICE_MASK), ...keyFields(family, space)];
      const random = goTo(drawChainName({ space, from, algorithm: 'random' }));
      return [{ name, rules: [[destinationNat(family, fields, setOf(space, 'chosen'))], [random]] }];
    }
    case 'maglev': {
      const index = hashField([FIELDS[family].sourceAddress], range);
      return [{ name, rules: [endpointAt(family, space, 'endpoints', index), refuse] }];
    }
    case 'round-robin': {
      // One rule that counts, however often it is tried: the order stays when a turn is empty.
      const turn = named(space, from, 'turn', String(pick.size), pick.owner);
      const next = endpointAt(family, space, 'turns', numberField('next in turn', range));
      const first = numberField('random', { ...range, modulus: 1 });
      const tries = Array.from({ length: TURNS }, (): Rule => [jumpTo(turn)]);
      return [
        { name: turn, rules: [next] },
        { name, rules: [...tries, endpointAt(family, space, 'turns', first), refuse] },
      ];
    }
  }
}

function endpointAt(family: IpFamily, space: Space, set: 'endpoints' | 'turns', index: Field): Rule {
  return [destinationNat(family, [...keyFields(family, space), index], setOf(space, set))];
}

export function keyFields(family: IpFamily, space: Space): readonly Field[] {
  const nodePort = [L4_PROTOCOL, DESTINATION_PORT];
  return space === 'vip' ? [FIELDS[family].destinationAddress, ...nodePort] : nodePort;
}

function refusing(space: Space): string {
  return space === 'vip' ? 'refuse' : 'refuse-node-port';
}

function setOf(space: Space, set: 'endpoints' | 'turns' | 'chosen'): SetName {
  return space === 'vip' ? set : `node-port-${set}`;
}

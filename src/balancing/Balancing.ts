/** How new connections are shared out among the endpoints of a Service. */
import type { IpAddress } from '../net/ip.js';

/**
 * `random`: each connection by lot. `round-robin`: one after the other. `source-hash`: by the client's address, modulo
 * the number of slots. `maglev`: by the client's address too, through a table that few changes of endpoints disturb.
 * `chosen`: the one that the mark of the packet names (choiceMark.ts); by lot where it names none.
 */
export type KernelAlgorithm = 'random' | 'round-robin' | 'source-hash' | 'maglev' | 'chosen';

/**
 * `least-connections`: the endpoint with the fewest for its weight. `power-of-two`: the better of two drawn by lot. They
 * need to know how many connections each endpoint has now: no rule of the kernel does.
 */
export type Algorithm = Exclude<KernelAlgorithm, 'chosen'> | 'least-connections' | 'power-of-two';

export const ALGORITHMS: readonly Algorithm[] = [
  'random',
  'round-robin',
  'least-connections',
  'power-of-two',
  'source-hash',
  'maglev',
];

/** An algorithm that counts connections. */
export function counts(algorithm: Algorithm): algorithm is 'least-connections' | 'power-of-two' {
  return algorithm === 'least-connections' || algorithm === 'power-of-two';
}

/** What the kernel does in the place of an algorithm: where it would have to count connections, somebody else chooses. */
export function kernelAlgorithm(algorithm: Algorithm): KernelAlgorithm {
  return counts(algorithm) ? 'chosen' : algorithm;
}

/** Whole numbers 0..100 by endpoint address. Who is not named has weight 1. */
export type Weights = ReadonlyMap<IpAddress, number>;

export interface Balancing {
  readonly algorithm: Algorithm;
  /** Empty: all endpoints are equal. */
  readonly weights: Weights;
  /**
   * How many entries one list of endpoints may become for weights or maglev, where the budgets of its Service or of the node
   * are short (routing/build/TableBudget). Undefined: as many as it wants. Endpoints always get one each.
   */
  readonly mostEntries?: number;
}

const NO_WEIGHTS: Weights = new Map();

/** One shared object each, because nearly all Services have no weights. */
export const UNWEIGHTED: Readonly<Record<Algorithm, Balancing>> = {
  random: { algorithm: 'random', weights: NO_WEIGHTS },
  'round-robin': { algorithm: 'round-robin', weights: NO_WEIGHTS },
  'source-hash': { algorithm: 'source-hash', weights: NO_WEIGHTS },
  'least-connections': { algorithm: 'least-connections', weights: NO_WEIGHTS },
  'power-of-two': { algorithm: 'power-of-two', weights: NO_WEIGHTS },
  maglev: { algorithm: 'maglev', weights: NO_WEIGHTS },
};

/** How new connections are shared out among the endpoints of a Service. */
import type { IpAddress } from '../net/ip.js';

/**
 * `random`: each connection by lot. `round-robin`: one after the other. `source-hash`: by the client's address, modulo
 * the number of slots. `maglev`: by the client's address too, through a table that few changes of endpoints disturb.
 */
export type Algorithm = 'random' | 'round-robin' | 'source-hash' | 'maglev';

export const ALGORITHMS: readonly Algorithm[] = ['random', 'round-robin', 'source-hash', 'maglev'];

/** Whole numbers 0..100 by endpoint address. Who is not named has weight 1. */
export type Weights = ReadonlyMap<IpAddress, number>;

export interface Balancing {
  readonly algorithm: Algorithm;
  /** Empty: all endpoints are equal. */
  readonly weights: Weights;
}

const NO_WEIGHTS: Weights = new Map();

/** One shared object each, because nearly all Services have no weights. */
export const UNWEIGHTED: Readonly<Record<Algorithm, Balancing>> = {
  random: { algorithm: 'random', weights: NO_WEIGHTS },
  'round-robin': { algorithm: 'round-robin', weights: NO_WEIGHTS },
  'source-hash': { algorithm: 'source-hash', weights: NO_WEIGHTS },
  maglev: { algorithm: 'maglev', weights: NO_WEIGHTS },
};

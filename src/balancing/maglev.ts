/**
 * The Maglev lookup table (Eisenbud et al., NSDI 2016, section 3.4): hash modulo size → endpoint. When an endpoint
 * comes or goes, nearly all entries of the others stay as they are, so nearly all clients keep their endpoint; and every
 * node that knows the same endpoints has the same table.
 */
import type { IpAddress } from '../net/ip.js';
import type { Weights } from './Balancing.js';
import { murmur3 } from './murmur3.js';
import { reducedWeights } from './reducedWeights.js';

/**
 * Primes just below powers of two: the steps of a permutation must have no divisor in common with the size. Few and far
 * between, because nearly all clients move where the size changes.
 */
const SIZES = [4093, 16381, 65521] as const;
const LARGEST = 65521;
/** Where there is no room for the size that is wanted. Shares are then less exact, and more clients move. */
const SMALLER_SIZES = [61, 251, 1021, ...SIZES] as const;
/** Also section 3.4: with a hundred entries for each endpoint their shares differ by 1 % at most. */
const ENTRIES_PER_WEIGHT = 100;

interface Row {
  /** Index of the endpoint in the list that was given. */
  readonly endpoint: number;
  readonly target: string;
  readonly weight: number;
}

/**
 * Indexes of `endpoints`, one for each entry; the length is the size of the table, 0 without endpoints. The order of
 * the endpoints makes no difference to who has which entry. Their names in the hashes are their targets.
 *
 * The size depends on the sum of the weights. Where it steps up or down, nearly all clients move once:
 * between 40 and 41, 163 and 164. With `most` it is the largest size that is no larger; where not even each endpoint has
 * an entry in that, the endpoints themselves are the table, one entry each.
 */
export function maglev(
  endpoints: readonly { readonly address: IpAddress; readonly target: string }[],
  weights: Weights,
  most = LARGEST,
): Uint32Array {
  const rows = rowsOf(endpoints, reducedWeights(endpoints, weights));
  const size = maglevSizeOf(totalOf(rows), rows.length, most);
  return size === rows.length ? Uint32Array.from(rows, ({ endpoint }) => endpoint) : filled(rows, size);
}

/** How many entries maglev() has, at a fraction of its cost. */
export function maglevSize(
  endpoints: readonly { readonly address: IpAddress }[],
  weights: Weights,
  most = LARGEST,
): number {
  const counted = reducedWeights(endpoints, weights).filter((weight) => weight > 0);
  const weightSum = counted.reduce((total, weight) => total + weight, 0);
  return maglevSizeOf(weightSum, counted.length, most);
}

/** The same of names, all alike, in a table of a fixed prime size: index of the name for each entry. */
export function maglevOfNames(names: readonly string[], size: number): Uint32Array {
  if (names.length === 0) return new Uint32Array();
  const targets = names.map((target) => ({ target }));
  return filled(
    rowsOf(
      targets,
      names.map(() => 1),
    ),
    size,
  );
}

/** By target, plain byte order; without those of weight 0. */
function rowsOf(
  endpoints: readonly { readonly target: string }[],
  weights: readonly number[],
): readonly Row[] {
  return endpoints
    .map(({ target }, endpoint) => ({ endpoint, target, weight: weights[endpoint] ?? 0 }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => (a.target < b.target ? -1 : 1));
}

/**
 * Each endpoint has its own order of all entries, and takes the next free one in it when it is its turn. The heaviest
 * has a turn in every round, the others in proportion, as in Envoy.
 */
function filled(rows: readonly Row[], size: number): Uint32Array {
  const heaviest = rows.reduce((most, { weight }) => Math.max(most, weight), 0);
  const next = Uint32Array.from(rows, ({ target }) => murmur3(target, 0) % size);
  const steps = Uint32Array.from(rows, ({ target }) => (murmur3(target, 1) % (size - 1)) + 1);
  const taken = new Uint8Array(size);
  const table = new Uint32Array(size);
  /** How many turns each has had, times the heaviest weight. */
  const served = new Float64Array(rows.length);
  let free = size;
  for (let round = 1; free > 0; round++) {
    for (let i = 0; i < rows.length && free > 0; i++) {
      const { endpoint, weight } = rows[i] as Row;
      if (round * weight < (served[i] as number)) continue;
      served[i] = (served[i] as number) + heaviest;
      const step = steps[i] as number;
      let entry = next[i] as number;
      while (taken[entry] === 1) {
        entry += step;
        if (entry >= size) entry -= size;
      }
      taken[entry] = 1;
      table[entry] = endpoint;
      next[i] = entry;
      free--;
    }
  }
  return table;
}

function totalOf(rows: readonly Row[]): number {
  return rows.reduce((total, { weight }) => total + weight, 0);
}

/** Of reduced weights: their sum, and how many are not 0. */
export function maglevSizeOf(weightSum: number, rows: number, most: number): number {
  if (rows === 0) return 0;
  const wanted = SIZES.find((size) => size >= weightSum * ENTRIES_PER_WEIGHT) ?? LARGEST;
  const size = wanted <= most ? wanted : (SMALLER_SIZES.findLast((smaller) => smaller <= most) ?? 0);
  return Math.max(size, rows);
}

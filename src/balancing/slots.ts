/**
 * Weights as a list: each endpoint as often as its weight says. Who picks from the list at random, in turn or by a
 * hash modulo its length respects the weights without knowing them.
 */
import type { IpAddress } from '../net/ip.js';
import type { Weights } from './Balancing.js';
import { reducedWeights } from './reducedWeights.js';

/** Every slot costs the kernel an element or a rule. */
export const MAX_SLOTS = 4096;

/** Up to here the turns are taken one by one, which costs slots × endpoints steps. */
const TURNS_UP_TO = 128;

/**
 * The endpoints with non-zero weight, each in as many slots as its reduced weight, interleaved so that the slots of one
 * are as far apart as can be. The list itself when there are no weights. Takes some milliseconds at most.
 *
 * Weights that need more than `most` slots (of 4096, never those of 40 endpoints or less) are multiplied by a common
 * factor and rounded, though never to 0. An endpoint's number of slots is then off by half a slot at most, which is 1 % of
 * its connections if it has 50 slots and 33 % if it has 1.5, or by less than one if it would have less than half. More
 * than `most` endpoints have one slot each.
 */
export function slots<E extends { readonly address: IpAddress }>(
  endpoints: readonly E[],
  weights: Weights,
  most = MAX_SLOTS,
): readonly E[] {
  if (weights.size === 0) return endpoints;
  const counts = fitted(reducedWeights(endpoints, weights), most);
  const serving = endpoints.filter((_, i) => counts[i] !== 0);
  if (sum(counts) === serving.length) return serving;
  const order = interleaved(counts.filter((count) => count !== 0));
  return Array.from(order, (index) => serving[index] as E);
}

/** How many slots() makes, at a fraction of its cost. */
export function slotsSize(
  endpoints: readonly { readonly address: IpAddress }[],
  weights: Weights,
  most = MAX_SLOTS,
): number {
  return weights.size === 0 ? endpoints.length : sum(fitted(reducedWeights(endpoints, weights), most));
}

/** At least 1 for each weight but 0, and `most` in sum unless there are more weights than that. */
function fitted(weights: readonly number[], most: number): readonly number[] {
  const limit = Math.min(most, MAX_SLOTS);
  if (sum(weights) <= limit) return weights;
  const scaled = (factor: number) =>
    weights.map((weight) => (weight === 0 ? 0 : Math.max(1, Math.round(weight * factor))));
  // The sum grows with the factor. At 0 all are 1, the fewest slots there can be; 30 halvings settle every rounding.
  let fits = 0;
  let tooMuch = 1;
  for (let i = 0; i < 30; i++) {
    const middle = (fits + tooMuch) / 2;
    if (sum(scaled(middle)) <= limit) fits = middle;
    else tooMuch = middle;
  }
  return scaled(fits);
}

/** Whose turn it is in each slot. `counts`: the slots of each, none 0. */
function interleaved(counts: readonly number[]): Uint32Array {
  return counts.length <= TURNS_UP_TO ? takeTurns(counts) : placeEvenly(counts);
}

/**
 * The smooth weighted round robin of nginx (ngx_http_upstream_get_peer): each turn everybody earns his weight, the
 * richest is served, the first of equals, and pays what all have earned.
 */
function takeTurns(counts: readonly number[]): Uint32Array {
  const earnings = Int32Array.from(counts);
  const total = sum(counts);
  const wealth = new Int32Array(earnings.length);
  const order = new Uint32Array(total);
  for (let turn = 0; turn < total; turn++) {
    let richest = 0;
    for (let i = 0; i < wealth.length; i++) {
      wealth[i] = (wealth[i] as number) + (earnings[i] as number);
      if ((wealth[i] as number) > (wealth[richest] as number)) richest = i;
    }
    wealth[richest] = (wealth[richest] as number) - total;
    order[turn] = richest;
  }
  return order;
}

/** The k-th of an endpoint's n slots lies at (2k + 1) / 2n of the whole; the first of equals comes first. */
function placeEvenly(counts: readonly number[]): Uint32Array {
  const places = counts.flatMap((count, index) =>
    Array.from({ length: count }, (_, k) => ({ index, odd: 2 * k + 1, count })),
  );
  places.sort((a, b) => a.odd * b.count - b.odd * a.count || a.index - b.index);
  return Uint32Array.from(places, ({ index }) => index);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

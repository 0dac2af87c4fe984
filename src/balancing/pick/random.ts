/** By lot, in proportion to the weights. */
import type { Pick } from './Moment.js';
import type { Sfc32 } from './Sfc32.js';

export function random(weights: readonly number[]): Pick {
  return ({ eligible, random }) => lot(weights, eligible, random);
}

/** One draw, from the sum of the weights of those that may; none when that is 0. */
export function lot(
  weights: readonly number[],
  eligible: readonly boolean[],
  random: Sfc32,
): number | undefined {
  const chances = weights.map((weight, i) => (eligible[i] ? weight : 0));
  const total = chances.reduce((sum, chance) => sum + chance, 0);
  if (total === 0) return undefined;
  let drawn = random.below(total);
  return chances.findIndex((chance) => {
    drawn -= chance;
    return drawn < 0;
  });
}

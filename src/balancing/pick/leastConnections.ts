/** Whoever has the fewest connections for his weight. Where the search begins is drawn, so that equals share. */
import type { Pick } from './Moment.js';

export function leastConnections(weights: readonly number[]): Pick {
  return ({ eligible, loads, random }) => {
    const start = random.below(weights.length);
    let best: number | undefined;
    for (let i = 0; i < weights.length; i++) {
      const index = (start + i) % weights.length;
      const weight = weights[index] ?? 0;
      if (weight === 0 || !eligible[index]) continue;
      if (best === undefined || (loads[index] ?? 0) * (weights[best] ?? 0) < (loads[best] ?? 0) * weight) {
        best = index;
      }
    }
    return best;
  };
}

/**
 * Two by lot, and the less loaded of them (Mitzenmacher 2001): nearly as even as the least loaded of all, and the threads
 * and nodes that choose at the same moment do not all choose the same one.
 */
import type { Pick } from './Moment.js';
import { lot } from './random.js';

export function powerOfTwo(weights: readonly number[]): Pick {
  return ({ eligible, loads, random }) => {
    const first = lot(weights, eligible, random);
    if (first === undefined) return undefined;
    const others = eligible.map((may, i) => may && i !== first);
    const second = lot(weights, others, random);
    if (second === undefined) return first;
    // Connections for each unit of weight, without division.
    const firstLoad = (loads[first] ?? 0) * (weights[second] ?? 0);
    const secondLoad = (loads[second] ?? 0) * (weights[first] ?? 0);
    return secondLoad < firstLoad ? second : first;
  };
}

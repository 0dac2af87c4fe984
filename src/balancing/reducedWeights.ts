/** The weights that count among the endpoints that may serve now. */
import type { IpAddress } from '../net/ip.js';
import type { Weights } from './Balancing.js';

/**
 * One whole number for each endpoint, in their order, divided by what they all have in common: 10, 20, 0 → 1, 2, 0.
 * If all are 0 they are all 1: a Service whose endpoints were all taken out by weight would serve nobody.
 */
export function reducedWeights(
  endpoints: readonly { readonly address: IpAddress }[],
  weights: Weights,
): readonly number[] {
  const found = endpoints.map(({ address }) => weights.get(address) ?? 1);
  const divisor = found.reduce(greatestCommonDivisor, 0);
  return found.map((weight) => (divisor === 0 ? 1 : weight / divisor));
}

/** Of 0 and b it is b. */
function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

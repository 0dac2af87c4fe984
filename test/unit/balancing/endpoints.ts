/** Endpoints as far as balancing looks at them. */
import fc from 'fast-check';
import type { Weights } from '../../../src/balancing/Balancing.js';
import { type IpAddress, joinHostPort } from '../../../src/net/ip.js';
import { ip } from '../../support/builders.js';

export interface Candidate {
  readonly address: IpAddress;
  readonly target: string;
}

/** 10.x.y.z:8080 */
export function candidate(number: number): Candidate {
  const address = ip(`10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`);
  return { address, target: joinHostPort(address, 8080) };
}

/** 10.0.0.0 and so on. */
export function candidates(count: number): readonly Candidate[] {
  return Array.from({ length: count }, (_, i) => candidate(i));
}

/** Different ones, in no order. */
export function someCandidates(least: number, most: number): fc.Arbitrary<readonly Candidate[]> {
  return fc
    .uniqueArray(fc.nat(0xffffff), { minLength: least, maxLength: most, size: 'max' })
    .map((numbers) => numbers.map(candidate));
}

/** One weight for each, by position; shorter lists leave the rest without. */
export function weigh(endpoints: readonly Candidate[], weights: readonly number[]): Weights {
  return new Map(endpoints.slice(0, weights.length).map(({ address }, i) => [address, weights[i] as number]));
}

/** How often each item occurs. */
export function tally<T>(items: Iterable<T>): ReadonlyMap<T, number> {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

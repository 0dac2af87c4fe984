/**
 * Which endpoint a new connection goes to: the reference of what docs/balancing.md promises. The engine of mode
 * userspace (native/service/pick.cc) answers the same for the same draws.
 */
import type { IpAddress } from '../../net/ip.js';
import type { Algorithm, Balancing, Weights } from '../Balancing.js';
import { maglev } from '../maglev.js';
import { reducedWeights } from '../reducedWeights.js';
import { slots } from '../slots.js';
import { leastConnections } from './leastConnections.js';
import type { Pick } from './Moment.js';
import { powerOfTwo } from './powerOfTwo.js';
import { random } from './random.js';
import { roundRobin } from './roundRobin.js';
import { sourceHash } from './sourceHash.js';

type Endpoints = readonly { readonly address: IpAddress; readonly target: string }[];

/** What can be computed in advance is, once. */
const ALGORITHM: Readonly<
  Record<Algorithm, (endpoints: Endpoints, weights: Weights, mostEntries?: number) => Pick>
> = {
  random: (endpoints, weights) => random(reducedWeights(endpoints, weights)),
  'round-robin': (endpoints, weights, most) => roundRobin(slotIndexes(endpoints, weights, most)),
  'least-connections': (endpoints, weights) => leastConnections(reducedWeights(endpoints, weights)),
  'power-of-two': (endpoints, weights) => powerOfTwo(reducedWeights(endpoints, weights)),
  'source-hash': (endpoints, weights, most) => sourceHash(slotIndexes(endpoints, weights, most)),
  maglev: (endpoints, weights, most) => sourceHash(maglev(endpoints, weights, most)),
};

/** `pick` answers undefined only when nobody is eligible. */
export function pickOf({ algorithm, weights, mostEntries }: Balancing, endpoints: Endpoints): Pick {
  const byWeight = ALGORITHM[algorithm](endpoints, weights, mostEntries);
  return function pick(moment) {
    if (endpoints.length === 0) return undefined;
    // Only endpoints of weight 0 are left: better one of them than nobody.
    return byWeight(moment) ?? firstThatMay(moment.eligible);
  };
}

function firstThatMay(eligible: readonly boolean[]): number | undefined {
  const index = eligible.indexOf(true);
  return index < 0 ? undefined : index;
}

function slotIndexes(endpoints: Endpoints, weights: Weights, most: number | undefined): readonly number[] {
  const numbered = endpoints.map(({ address }, index) => ({ address, index }));
  return slots(numbered, weights, most).map(({ index }) => index);
}

/** What clients would lose if the other proxy's rules decided instead of ours. */
import { joinHostPort } from '../net/ip.js';
import type { Answer, Comparison } from './compareRules.js';

/**
 * A sentence for each place and pair of answers. Shares, session affinity and the address that endpoints see are no losses: no
 * connection fails over them.
 */
export function lossesOf({ differences }: Comparison): readonly string[] {
  const losses = differences
    .filter(({ meant, ours, theirs }) => meant === undefined && isLoss(ours, theirs))
    .map(({ question: { name, place }, ours, theirs }) => {
      const where = `${joinHostPort(place.address, place.port)}/${place.protocol}`;
      return `${name} at ${where}: ${wordsOf(theirs)} instead of ${wordsOf(ours)}`;
    });
  return [...new Set(losses)];
}

/** They lead to nobody, or not always, or to somebody who is not (or no longer) to be reached there. */
function isLoss(ours: Answer, theirs: Answer): boolean {
  const isElsewhere = theirs.endpoints.some((endpoint) => !ours.endpoints.includes(endpoint));
  if (ours.endpoints.length === 0) return isElsewhere;
  const fails = theirs.otherwise.some((ending) => !ours.otherwise.includes(ending));
  return isElsewhere || theirs.endpoints.length === 0 || fails;
}

function wordsOf({ endpoints, otherwise }: Answer): string {
  return [...endpoints, ...otherwise].join(', ') || 'nothing';
}

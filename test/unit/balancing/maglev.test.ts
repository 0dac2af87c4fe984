import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import type { Weights } from '../../../src/balancing/Balancing.js';
import { maglev } from '../../../src/balancing/maglev.js';
import { type Candidate, candidates, someCandidates, tally, weigh } from './endpoints.js';

const NONE: Weights = new Map();

/** The target in each entry. */
function targets(endpoints: readonly Candidate[], weights: Weights = NONE): readonly string[] {
  return Array.from(maglev(endpoints, weights), (index) => (endpoints[index] as Candidate).target);
}

const weights = fc.array(fc.nat(100), { maxLength: 20, size: 'max' });

t.test('no endpoints, no entries; one endpoint, every entry', async (t) => {
  t.equal(maglev([], NONE).length, 0);
  t.strictSame([...tally(maglev(candidates(1), NONE))], [[0, 4093]]);
});

t.test('the size is the first prime with a hundred entries for each unit of weight', async (t) => {
  const sizes = [1, 40, 41, 163, 164, 2000].map((count) => maglev(candidates(count), NONE).length);
  t.strictSame(sizes, [4093, 4093, 16381, 16381, 65521, 65521]);
  const two = candidates(2);
  t.equal(maglev(two, weigh(two, [100, 100])).length, 4093, 'what weights have in common costs nothing');
  t.equal(maglev(two, weigh(two, [100, 99])).length, 65521);
});

t.test('equal endpoints differ by one entry at most', async () => {
  fc.assert(
    fc.property(someCandidates(1, 60), (endpoints) => {
      const counts = [...tally(targets(endpoints)).values()];
      return counts.length === endpoints.length && Math.max(...counts) - Math.min(...counts) <= 1;
    }),
    { numRuns: 50 },
  );
});

t.test('weights are kept within 3 %', async (t) => {
  let worst = 0;
  fc.assert(
    fc.property(someCandidates(1, 12), weights, (endpoints, list) => {
      const given = endpoints.map((_, i) => list[i] ?? 1);
      if (given.every((weight) => weight === 0)) return true;
      const table = targets(endpoints, weigh(endpoints, list));
      const counts = tally(table);
      const total = given.reduce((sum, weight) => sum + weight, 0);
      return endpoints.every(({ target }, i) => {
        const share = ((given[i] ?? 0) / total) * table.length;
        const count = counts.get(target) ?? 0;
        if (share === 0) return count === 0;
        // Above 655 the sum of weights has less than a hundred entries for each unit.
        const error = total > 655 ? 0 : Math.abs(count - share) / share;
        worst = Math.max(worst, error);
        return count > 0 && error <= 0.03;
      });
    }),
    { numRuns: 200 },
  );
  t.ok(worst > 0, `the worst share was off by ${(worst * 100).toFixed(2)} %`);
});

t.test('when all weights are 0, all count as 1', async (t) => {
  const endpoints = candidates(3);
  t.strictSame(targets(endpoints, weigh(endpoints, [0, 0, 0])), targets(endpoints));
});

t.test('the order of the endpoints makes no difference', async () => {
  const shuffled = someCandidates(2, 20).chain((endpoints) =>
    fc.tuple(
      fc.constant(endpoints),
      fc.shuffledSubarray([...endpoints], { minLength: endpoints.length, maxLength: endpoints.length }),
    ),
  );
  fc.assert(
    fc.property(shuffled, weights, ([endpoints, others], list) => {
      const given = weigh(endpoints, list);
      return targets(endpoints, given).join() === targets(others, given).join();
    }),
    { numRuns: 50 },
  );
});

/** The part of the entries that changed without need: neither before nor after do they belong to `changed`. */
function disturbed(before: readonly string[], after: readonly string[], changed: string): number {
  const moved = before.filter(
    (target, i) => target !== changed && after[i] !== changed && after[i] !== target,
  );
  return moved.length / before.length;
}

t.test('an endpoint that comes or goes disturbs few entries of the others', async (t) => {
  const found: number[] = [];
  const sizes = fc.constantFrom(5, 10, 20, 40).chain((count) => someCandidates(count, count));
  fc.assert(
    fc.property(sizes, (endpoints) => {
      const gone = endpoints[0] as Candidate;
      found.push(disturbed(targets(endpoints), targets(endpoints.slice(1)), gone.target));
    }),
    { numRuns: 200 },
  );
  const mean = found.reduce((sum, part) => sum + part, 0) / found.length;
  t.ok(mean < 0.03, `${(mean * 100).toFixed(2)} % on average`);
  // Measured over 6000: 2.1 % on average, 3.8 % in the 99th percentile, 13 % once.
  t.ok(Math.max(...found) < 0.25, `${(Math.max(...found) * 100).toFixed(2)} % at worst`);
});

t.test('every machine and every version of Node has the same table', async (t) => {
  const endpoints = candidates(7);
  const table = targets(endpoints, weigh(endpoints, [3, 1, 0, 2]));
  const digest = createHash('sha256').update(table.join(' ')).digest('hex').slice(0, 16);
  t.equal(digest, '857320e7131ce818');
});

t.test('a table of ten endpoints is made in less than a millisecond', async (t) => {
  const endpoints = candidates(10);
  const times = Array.from({ length: 50 }, () => {
    const start = performance.now();
    maglev(endpoints, NONE);
    return performance.now() - start;
  });
  t.ok(Math.min(...times) < 1, `${Math.min(...times).toFixed(3)} ms`);
});

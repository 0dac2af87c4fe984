import fc from 'fast-check';
import t from 'tap';
import { MAX_SLOTS, slots } from '../../../src/balancing/slots.js';
import { type Candidate, candidates, someCandidates, tally, weigh } from './endpoints.js';

/** The slots as letters: the first endpoint is a. */
function order(weights: readonly number[]): string {
  const endpoints = candidates(weights.length);
  const list = slots(endpoints, weigh(endpoints, weights));
  return list.map((endpoint) => String.fromCharCode(97 + endpoints.indexOf(endpoint))).join('');
}

t.test('the order is that of nginx', async (t) => {
  const cases: readonly [weights: number[], order: string][] = [
    [[], ''],
    [[7], 'a'],
    [[0], 'a'],
    [[1, 1, 1], 'abc'],
    [[50, 50], 'ab'],
    [[2, 1], 'aba'],
    [[5, 1, 1], 'aabacaa'],
    [[4, 2], 'aba'],
    [[1, 0, 1], 'ac'],
    [[0, 1, 0], 'b'],
    [[0, 0, 0], 'abc'],
  ];
  for (const [weights, expected] of cases) t.equal(order(weights), expected, weights.join(' '));
});

t.test('without weights it is the list itself', async (t) => {
  const endpoints = candidates(5000);
  t.equal(slots(endpoints, new Map()), endpoints);
});

const weighed = fc
  .tuple(someCandidates(1, 40), fc.array(fc.nat(100), { minLength: 40, maxLength: 40 }))
  .map(([endpoints, weights]) => ({ endpoints, weights: weights.slice(0, endpoints.length) }));

t.test('up to 40 endpoints the numbers of slots are exactly proportional', async (t) => {
  let uneven = 0;
  fc.assert(
    fc.property(weighed, ({ endpoints, weights }) => {
      const list = slots(endpoints, weigh(endpoints, weights));
      const counts = tally(list);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      if (new Set(weights).size > 2) uneven++;
      return endpoints.every((endpoint, i) => {
        const share = total === 0 ? 1 / endpoints.length : (weights[i] ?? 0) / total;
        return Math.abs((counts.get(endpoint) ?? 0) - share * list.length) < 1e-6;
      });
    }),
    { numRuns: 300 },
  );
  t.ok(uneven > 150, `${uneven} of 300 had several weights`);
});

t.test('of two endpoints neither is ever a slot ahead of its share', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100 }), (a, b) => {
      let served = 0;
      return [...order([a, b])].every((letter, i) => {
        if (letter === 'a') served++;
        return Math.abs(served - ((i + 1) * a) / (a + b)) < 1;
      });
    }),
  );
});

/** Whether some factor, the same for all, makes each number of slots its weight times the factor, rounded. */
function haveCommonFactor(
  endpoints: readonly Candidate[],
  weights: readonly number[],
  counts: ReadonlyMap<Candidate, number>,
): boolean {
  let [least, most] = [0, Number.POSITIVE_INFINITY];
  for (const [i, endpoint] of endpoints.entries()) {
    const count = counts.get(endpoint) ?? 0;
    const weight = weights[i] ?? 0;
    if ((count === 0) !== (weight === 0)) return false;
    if (count === 0) continue;
    // What would round to 0 is 1 all the same.
    least = Math.max(least, count === 1 ? 0 : (count - 0.5) / weight);
    most = Math.min(most, (count + 0.5) / weight);
  }
  return least <= most;
}

t.test('there are at most 4096, and the scale is the same for all', async (t) => {
  let scaled = 0;
  const many = fc.tuple(
    someCandidates(1, 600),
    fc.array(fc.nat(100), { minLength: 600, maxLength: 600, size: 'max' }),
  );
  fc.assert(
    fc.property(many, ([endpoints, all]) => {
      // Never all 0, which is a case of its own.
      const weights = [7, ...all].slice(0, endpoints.length);
      const list = slots(endpoints, weigh(endpoints, weights));
      if (weights.reduce((sum, weight) => sum + weight, 0) > MAX_SLOTS) scaled++;
      return list.length <= MAX_SLOTS && haveCommonFactor(endpoints, weights, tally(list));
    }),
    { numRuns: 60 },
  );
  t.ok(scaled > 20, `${scaled} of 60 had to be scaled`);
});

t.test('scaling wastes little of the room there is', async (t) => {
  const endpoints = candidates(100);
  const list = slots(
    endpoints,
    weigh(
      endpoints,
      endpoints.map((_, i) => i + 1),
    ),
  );
  const counts = tally(list);
  t.ok(list.length > 4000 && list.length <= MAX_SLOTS, `${list.length} slots`);
  t.strictSame(
    [0, 49, 99].map((i) => counts.get(endpoints[i] as Candidate)),
    [1, 41, 81],
  );
});

t.test('more than 4096 endpoints with weights have a slot each', async (t) => {
  const endpoints = candidates(4200);
  const list = slots(endpoints, weigh(endpoints, [100, 0, 3]));
  t.equal(list.length, 4199);
  t.equal(new Set(list).size, 4199);
});

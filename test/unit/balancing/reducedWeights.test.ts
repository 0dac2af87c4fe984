import t from 'tap';
import { reducedWeights } from '../../../src/balancing/reducedWeights.js';
import { candidates, weigh } from './endpoints.js';

t.test('weights are divided by what they have in common', async (t) => {
  const cases: readonly [given: number[], expected: number[]][] = [
    [[], []],
    [[7], [1]],
    [
      [10, 20],
      [1, 2],
    ],
    [
      [10, 25],
      [2, 5],
    ],
    [
      [3, 5],
      [3, 5],
    ],
    [
      [100, 100, 100],
      [1, 1, 1],
    ],
    [
      [12, 0, 18],
      [2, 0, 3],
    ],
    [
      [0, 4],
      [0, 1],
    ],
  ];
  for (const [given, expected] of cases) {
    const endpoints = candidates(given.length);
    t.strictSame(reducedWeights(endpoints, weigh(endpoints, given)), expected, given.join(' '));
  }
});

t.test('who is not named has weight 1, and 1 has nothing in common with others', async (t) => {
  const endpoints = candidates(3);
  t.strictSame(reducedWeights(endpoints, weigh(endpoints, [10, 20])), [10, 20, 1]);
  t.strictSame(reducedWeights(endpoints, weigh(endpoints, [])), [1, 1, 1]);
});

t.test('all 0 is all 1, among those who are there', async (t) => {
  const endpoints = candidates(3);
  const weights = weigh(endpoints, [0, 0, 5]);
  t.strictSame(reducedWeights(endpoints, weights), [0, 0, 1]);
  t.strictSame(reducedWeights(endpoints.slice(0, 2), weights), [1, 1]);
});

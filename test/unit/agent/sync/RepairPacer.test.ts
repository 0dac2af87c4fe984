/** Repairs at once, until somebody changes our rules again and again. */
import t from 'tap';
import { RepairPacer } from '../../../../src/agent/sync/RepairPacer.js';

t.test('rare repairs come at once, for ever', async (t) => {
  const pacer = new RepairPacer(0);
  for (let now = 0; now < 1_000_000; now += 6000) t.equal(pacer.next(now), 0);
});

t.test('a burst is repaired, a fight is slowed down', async (t) => {
  const pacer = new RepairPacer(0);
  for (let i = 0; i < 20; i++) t.equal(pacer.next(100 + i), 0, `repair ${i + 1} of a burst`);
  const wait = pacer.next(120);
  t.ok(wait > 4000 && wait <= 5000, `then ${wait} ms`);
  t.equal(pacer.next(120 + wait), 0, 'which is enough');
  t.ok(pacer.next(121 + wait) > 4000, 'for one');
  t.equal(pacer.next(200_000), 0, 'peace restores the stock');
  for (let i = 0; i < 19; i++) t.equal(pacer.next(200_001), 0);
  t.ok(pacer.next(200_002) > 0);
});

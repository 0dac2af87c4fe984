import t from 'tap';
import { preciseNow, rfc3339 } from '../../../src/time/preciseTime.js';

t.test("times are written as Go's RFC3339Nano: no more digits than it takes", async (t) => {
  const day = Date.UTC(2026, 10, 22, 21, 55, 34);
  t.equal(rfc3339(day), '2026-11-22T21:55:34Z');
  t.equal(rfc3339(day + 100), '2026-11-22T21:55:34.1Z');
  t.equal(rfc3339(day + 124.8), '2026-11-22T21:55:34.1248Z');
  t.equal(rfc3339(day + 0.25), '2026-11-22T21:55:34.00025Z');
  t.equal(rfc3339(day + 999.9999), '2026-11-22T21:55:35Z', 'rounded up into the next second');
});

t.test('the precise time is that of Date, with a fraction', async (t) => {
  // Somebody else may have the processor between any two calls.
  const times = Array.from({ length: 1000 }, () => [Date.now(), preciseNow(), Date.now()] as const);
  t.ok(
    times.every(([before, precise, after]) => precise >= before - 2 && precise <= after + 2),
    'never far from Date',
  );
  t.ok(new Set(times.map(([, precise]) => precise % 1)).size > 100, 'finer than a millisecond');
});

t.test('it follows when the clock is set', async (t) => {
  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  for (const step of [3_600_000, -3_600_000]) {
    Date.now = () => real() + step;
    t.ok(Math.abs(preciseNow() - Date.now()) <= 2, `${step} ms`);
    t.ok(Math.abs(preciseNow() - Date.now()) <= 2, 'and stays there');
  }
});

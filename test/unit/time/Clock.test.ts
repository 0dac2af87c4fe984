import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { every, systemClock } from '../../../src/time/Clock.js';
import { FakeClock } from '../../support/FakeClock.js';

t.test('every: again and again, until it is ended, also from within', async (t) => {
  const clock = new FakeClock();
  const times: number[] = [];
  const end = every(clock, 100, () => {
    times.push(clock.now());
    if (times.length === 3) end();
  });
  await clock.pass(1000);
  t.strictSame(times, [100, 200, 300]);
  t.equal(clock.waiting, 0);
  const endOther = every(clock, 100, () => t.fail('it was ended before'));
  endOther();
  await clock.pass(1000);
  t.equal(clock.waiting, 0);
});

t.test('the date of the system has its fraction, and follows the calendar', async (t) => {
  t.ok(Math.abs(systemClock.date() - Date.now()) <= 2);
});

t.test('what is to be done at once waits for no timer, and not within who asks', async (t) => {
  const done: string[] = [];
  systemClock.after(0, () => done.push('first'));
  systemClock.after(-1, () => done.push('second'));
  const cancel = systemClock.after(0, () => t.fail('it was cancelled'));
  cancel();
  t.strictSame(done, []);
  await nextTurn();
  t.strictSame(done, ['first', 'second']);
});

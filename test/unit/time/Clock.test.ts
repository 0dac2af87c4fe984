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

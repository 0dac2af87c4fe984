/** What another mode left goes without a restart, also when that fails at first; the reason is told once. */
import pino from 'pino';
import t from 'tap';
import { LeftoverRemoval } from '../../../src/agent/LeftoverRemoval.js';
import { FakeClock } from '../../support/FakeClock.js';

/** `outcomes`: what is left at each try, the last for ever. */
function world(outcomes: readonly (readonly string[])[], mayRemove = () => true) {
  const clock = new FakeClock();
  const said: string[] = [];
  const log = pino(
    { base: null, timestamp: false },
    { write: (line) => void said.push(JSON.parse(line).msg) },
  );
  let tries = 0;
  const remove = async () => outcomes[Math.min(tries++, outcomes.length - 1)] ?? [];
  const removal = new LeftoverRemoval({ mayRemove, remove, clock, random: () => 0.5, log });
  return { clock, said, removal, tries: () => tries };
}

t.test('tried again until nothing is left; each reason is told once', async (t) => {
  const { clock, said, removal, tries } = world([['a: EBUSY'], ['a: EBUSY'], ['b: ENOMEM'], []]);
  await removal.run();
  t.equal(tries(), 1);
  for (let i = 0; i < 10; i++) await clock.pass(60_000);
  t.equal(tries(), 4, 'and no more');
  t.same(said, ['a: EBUSY', 'b: ENOMEM', 'nothing of another mode is left']);
});

t.test('nothing to do: nothing is said, nothing is left to wait for', async (t) => {
  const { said, removal, clock } = world([[]]);
  await removal.run();
  t.same(said, []);
  t.equal(clock.waiting, 0);
});

t.test('what always fails is given up', async (t) => {
  const { clock, said, removal, tries } = world([['x: EROFS']]);
  await removal.run();
  for (let i = 0; i < 40; i++) await clock.pass(60_000);
  t.equal(tries(), 16);
  t.same(said, ['x: EROFS']);
  t.equal(clock.waiting, 0);
});

t.test('an agent that ends waits for nothing', async (t) => {
  const { clock, removal, tries } = world([['x: EBUSY']]);
  await removal.run();
  await removal.stop();
  t.equal(clock.waiting, 0);
  await clock.pass(60_000);
  t.equal(tries(), 1);
});

t.test('a node that was to be left when it first served: what is left goes once it stays', async (t) => {
  let isToLeave = true;
  const { clock, removal, tries } = world([['a: EBUSY'], []], () => !isToLeave);
  await removal.goOn();
  t.equal(tries(), 0, 'not before the rules of the mode are in force');
  await removal.run();
  await clock.pass(600_000);
  t.equal(tries(), 0, 'the rules of whoever is to follow stay');
  isToLeave = false;
  await removal.goOn();
  t.equal(tries(), 1);
  await clock.pass(600_000);
  t.equal(tries(), 2, 'and again where it fails');
  await removal.goOn();
  t.equal(tries(), 2, 'once it is done it is done');
});

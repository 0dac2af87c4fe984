import t from 'tap';
import { SyncLoop, type SyncLoopOptions } from '../../../../src/agent/sync/SyncLoop.js';
import { FakeClock } from '../../../support/FakeClock.js';

const HOUR = 3_600_000;

interface LoopWorld {
  readonly clock: FakeClock;
  readonly loop: SyncLoop;
  /** When runs began. */
  readonly runs: readonly number[];
  readonly said: readonly string[];
}

/** `run` hears how many runs were before. */
function loopWorld(
  run: (count: number) => Promise<void> = async () => {},
  options: Partial<SyncLoopOptions> = {},
): LoopWorld {
  const clock = new FakeClock();
  const runs: number[] = [];
  const said: string[] = [];
  const note = (level: string) => (first: unknown, text?: string) =>
    void said.push(`${level} ${text ?? String(first)}`);
  const loop = new SyncLoop({
    minMs: 0,
    retryMs: 30_000,
    maxMs: HOUR,
    run: () => {
      runs.push(clock.now());
      return run(runs.length - 1);
    },
    clock,
    random: () => 0.5,
    log: { error: note('error'), info: note('info') },
    ...options,
  });
  return { clock, loop, runs, said };
}

t.test('runs when asked, and not before', async (t) => {
  const { clock, loop, runs } = loopWorld();
  await clock.pass(10 * HOUR);
  t.same(runs, []);
  loop.request();
  await clock.pass(1);
  t.same(runs, [10 * HOUR]);
});

t.test('runs every maxMs without being asked', async (t) => {
  const { clock, loop, runs } = loopWorld();
  loop.request();
  await clock.pass(3 * HOUR);
  t.same(runs, [0, HOUR, 2 * HOUR, 3 * HOUR]);
});

t.test('requests during a run become one further run', async (t) => {
  let finish = () => {};
  const { clock, loop, runs } = loopWorld(
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  loop.request();
  await clock.pass(1);
  t.ok(loop.busy);
  for (let i = 0; i < 5; i++) loop.request();
  finish();
  await clock.pass(1);
  t.equal(runs.length, 2);
  finish();
  await clock.pass(100);
  t.notOk(loop.busy);
  t.equal(runs.length, 2);
});

t.test('waits minMs between runs, but not for a repair', async (t) => {
  const { clock, loop, runs } = loopWorld(undefined, { minMs: 1000 });
  loop.request();
  await clock.pass(100);
  t.same(runs, [0], 'the first runs at once');
  loop.request();
  await clock.pass(100);
  t.same(runs, [0, 100], 'the second half of a change too');
  loop.request();
  await clock.pass(100);
  t.same(runs, [0, 100], 'the third waits');
  loop.requestUrgent();
  await clock.pass(100);
  t.same(runs, [0, 100, 300], 'a repair does not');
});

t.test('of many requests one runs in each minMs, two after a pause, whatever repairs came', async (t) => {
  const { clock, loop, runs } = loopWorld(undefined, { minMs: 1000 });
  const ask = async (milliseconds: number) => {
    for (let i = 0; i < milliseconds; i += 10) {
      loop.request();
      await clock.pass(10);
    }
  };
  await ask(3500);
  t.same(runs, [0, 10, 1000, 2000, 3000]);
  for (let i = 0; i < 50; i++) {
    loop.requestUrgent();
    await clock.pass(1);
  }
  const before = runs.length;
  await ask(2500);
  t.ok(runs.length - before <= 2, 'repairs count as runs');
  t.ok(runs.length - before >= 1, 'and put nothing off for long');
  await clock.pass(5000);
  const rested = clock.now();
  await ask(500);
  t.same(
    runs.filter((at) => at >= rested),
    [rested, rested + 10],
  );
});

t.test('tries again by itself after failures, in growing waits, and not after a success', async (t) => {
  const { clock, loop, runs, said } = loopWorld(async (count) => {
    if (count < 3) throw new Error('not yet');
  });
  loop.request();
  await clock.pass(HOUR - 1);
  t.same(runs, [0, 800, 2000, 3800]);
  t.same(said, ['error sync failed, it is tried again: not yet', 'info the sync works again']);
});

t.test('what run throws before its first await is an error like any other', async (t) => {
  const { clock, loop, runs, said } = loopWorld((count) => {
    if (count === 0) throw new TypeError('changes is not iterable');
    return Promise.resolve();
  });
  loop.request();
  await clock.pass(10_000);
  t.equal(runs.length, 2);
  t.same(said[0], 'error sync failed, it is tried again: changes is not iterable');
});

t.test('changes do not defeat the back-off', async (t) => {
  const { clock, loop, runs } = loopWorld(() => Promise.reject(new Error('no')));
  loop.request();
  for (let i = 0; i < 5000; i++) {
    await clock.pass(1);
    loop.request();
  }
  t.same(runs, [0, 800, 2000, 3800]);
});

t.test('repairs pass the back-off once in each wait', async (t) => {
  const { clock, loop, runs } = loopWorld(() => Promise.reject(new Error('no')), { retryMs: 2000 });
  loop.request();
  for (let i = 0; i < 60_000; i += 10) {
    await clock.pass(10);
    loop.requestUrgent();
  }
  t.ok(runs.length <= 2 * (4 + 60_000 / 2000), `${runs.length} runs in a minute`);
  t.ok(runs.length > 60_000 / 2000, 'the repairs come on top');
});

t.test('a repair that fails puts off nothing', async (t) => {
  const { clock, loop, runs } = loopWorld(async (count) => {
    if (count < 2) throw new Error('no');
  });
  loop.request();
  await clock.pass(100);
  loop.requestUrgent();
  await clock.pass(HOUR - 1);
  t.same(runs, [0, 100, 800]);
});

t.test('a repair within minMs that fails is tried again soon', async (t) => {
  const { clock, loop, runs } = loopWorld(
    async (count) => {
      if (count === 1) throw new Error('no');
    },
    { minMs: 1000, retryMs: 30_000 },
  );
  loop.request();
  await clock.pass(100);
  loop.requestUrgent();
  await clock.pass(HOUR / 2);
  t.same(runs, [0, 100, 1100]);
});

t.test('a million requests cost one run', async (t) => {
  const { clock, loop, runs } = loopWorld(undefined, { minMs: 1000 });
  for (let i = 0; i < 1_000_000; i++) loop.request();
  await clock.pass(100);
  t.equal(runs.length, 1);
});

t.test('stop waits for the run in progress; nothing runs after it, and no timer is left', async (t) => {
  let finish = () => {};
  const { clock, loop, runs } = loopWorld(
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  loop.request();
  await clock.pass(1);
  let stopped = false;
  const stopping = loop.stop().then(() => {
    stopped = true;
  });
  await clock.pass(1);
  t.notOk(stopped);
  loop.requestUrgent();
  finish();
  await stopping;
  loop.request();
  loop.requestUrgent();
  t.equal(clock.waiting, 0);
  await clock.pass(2 * HOUR);
  t.equal(runs.length, 1);
});

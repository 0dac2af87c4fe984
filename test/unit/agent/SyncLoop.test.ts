import t from 'tap';
import { SyncLoop } from '../../../src/agent/SyncLoop.js';
import { eventually } from '../../support/iptables.js';

const HOUR = 3_600_000;

t.test('runs when asked, and not before', async (t) => {
  let runs = 0;
  const loop = new SyncLoop({ minMs: 0, retryMs: HOUR, maxMs: HOUR, run: async () => void runs++ });
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.equal(runs, 0);
  loop.request();
  t.ok(await eventually(() => runs === 1));
  await loop.stop();
});

t.test('requests during a run become one further run', async (t) => {
  let runs = 0;
  let finish = () => {};
  const run = () => {
    runs++;
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  };
  const loop = new SyncLoop({ minMs: 0, retryMs: HOUR, maxMs: HOUR, run });
  loop.request();
  t.ok(await eventually(() => runs === 1));
  t.ok(loop.busy);
  for (let i = 0; i < 5; i++) loop.request();
  finish();
  t.ok(await eventually(() => runs === 2));
  finish();
  await eventually(() => !loop.busy);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(runs, 2);
  await loop.stop();
});

t.test('waits minMs between runs, but not for a repair', async (t) => {
  let runs = 0;
  const loop = new SyncLoop({ minMs: HOUR, retryMs: HOUR, maxMs: HOUR, run: async () => void runs++ });
  loop.request();
  t.ok(await eventually(() => runs === 1), 'the first runs at once');
  loop.request();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(runs, 1, 'the second waits');
  loop.requestUrgent();
  t.ok(await eventually(() => runs === 2), 'a repair does not');
  await loop.stop();
});

t.test('tries again by itself after a failure, and not after a success', async (t) => {
  let runs = 0;
  const run = async () => {
    runs++;
    if (runs < 3) throw new Error('not yet');
  };
  const loop = new SyncLoop({ minMs: 0, retryMs: 10, maxMs: HOUR, run });
  loop.request();
  t.ok(await eventually(() => runs === 3));
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.equal(runs, 3);
  await loop.stop();
});

t.test('stop waits for the run in progress; nothing runs after it', async (t) => {
  let runs = 0;
  let finished = false;
  const run = async () => {
    runs++;
    await new Promise((resolve) => setTimeout(resolve, 50));
    finished = true;
  };
  const loop = new SyncLoop({ minMs: 0, retryMs: 1, maxMs: 1, run });
  loop.request();
  t.ok(await eventually(() => runs === 1));
  await loop.stop();
  t.ok(finished);
  loop.request();
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.equal(runs, 1);
});

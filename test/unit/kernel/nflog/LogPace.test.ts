/** One packet alone is told at once; of many the kernel gathers some, until they are few again. */
import t from 'tap';
import { type Gathering, LogPace, PROMPT, TOGETHER } from '../../../../src/kernel/nflog/LogPace.js';

function paced() {
  const set: Gathering[] = [];
  return { set, pace: new LogPace((gathering) => set.push(gathering)) };
}

t.test('few: nothing changes', async (t) => {
  const { set, pace } = paced();
  for (let i = 0; i < 50; i++) pace.met(i * 45);
  for (const at of [3000, 3000, 3001, 3001]) pace.met(at);
  t.strictSame(set, []);
});

t.test('fifty a second are many, and after a pause they are few again', async (t) => {
  const { set, pace } = paced();
  for (let i = 0; i < 500; i++) pace.met(i * 20);
  t.strictSame(set, [TOGETHER]);
  // Gathered ones come a few at once.
  for (let at = 10_000; at < 12_000; at += 60) for (let i = 0; i < 3; i++) pace.met(at);
  t.strictSame(set, [TOGETHER]);
  pace.met(13_000);
  t.strictSame(set, [TOGETHER, PROMPT]);
  pace.met(13_300);
  t.strictSame(set, [TOGETHER, PROMPT]);
  for (let i = 0; i < 20; i++) pace.met(14_000 + i);
  t.strictSame(set, [TOGETHER, PROMPT, TOGETHER]);
});

t.test('whoever waits longest is told within 100 ms', async (t) => {
  t.ok(TOGETHER.milliseconds <= 80);
  t.equal(PROMPT.packets, 1);
});

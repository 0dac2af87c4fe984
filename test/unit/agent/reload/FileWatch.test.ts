import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FileWatch } from '../../../../src/agent/reload/FileWatch.js';
import { FakeClock } from '../../../support/FakeClock.js';

function watched(t: Test) {
  const file = join(t.testdir({ 'config.yaml': '1' }), 'config.yaml');
  const seen: string[] = [];
  const clock = new FakeClock();
  const watch = new FileWatch({
    file,
    clock,
    onChange: () => seen.push('changed'),
    onGone: () => seen.push('gone'),
  });
  return { file, seen, clock, watch };
}

t.test('a text counts at the second look that finds it, each once', async (t) => {
  const { file, seen, clock, watch } = watched(t);
  await clock.pass(5000);
  t.same(seen, [], 'the first text is no change');
  writeFileSync(file, 'half');
  await clock.pass(1000);
  writeFileSync(file, 'whole');
  await clock.pass(1000);
  t.same(seen, [], 'a file that is being written is left alone');
  await clock.pass(1000);
  t.same(seen, ['changed']);
  await clock.pass(60_000);
  t.same(seen, ['changed']);
  writeFileSync(file, 'read on request');
  watch.taken();
  await clock.pass(5000);
  t.same(seen, ['changed'], 'whoever asked for it has read it');
  watch.close();
});

t.test('a file that goes is told once, and that it is there again', async (t) => {
  const { file, seen, clock, watch } = watched(t);
  rmSync(file);
  await clock.pass(60_000);
  t.same(seen, ['gone']);
  writeFileSync(file, '1');
  await clock.pass(5000);
  t.same(seen, ['gone', 'changed']);
  watch.close();
});

t.test('after close() nothing is waited for', async (t) => {
  const { file, seen, clock, watch } = watched(t);
  t.equal(clock.waiting, 1);
  watch.close();
  writeFileSync(file, '2');
  await clock.pass(60_000);
  t.equal(clock.waiting, 0);
  t.same(seen, []);
});

/** What an agent gives back after its start: garbage, and pages of programs that are as in their files. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { giveBackSoon, heap } from '../../../src/host/heap.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import { FakeClock } from '../../support/FakeClock.js';

const MEGABYTE = 1_000_000;

/** Bytes of files in the memory of this process. */
function fileBytes(): number {
  return 1024 * Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

// First: the others give back, too.
t.test('pages of Node go until they are used again', async (t) => {
  const before = fileBytes();
  const given = nativeAddon().giveBackMemory();
  t.ok(given > before / 2, `${given} of ${before} bytes`);
  const after = fileBytes();
  t.ok(after < before * 0.7, `${after} of ${before} bytes`);
  // What the loader wrote into libraries, and what was compiled, is as before.
  t.match(new Intl.NumberFormat('en').format(1e6), '1,000,000');
  t.equal(Buffer.from('penstock').toString('base64'), 'cGVuc3RvY2s=');
  t.throws(() => nativeAddon().sendToUnixSocket('', ''), RangeError);
});

t.test('garbage is collected, and nobody else can ask for that', async (t) => {
  let kept: number[][] = Array.from({ length: 100 }, () =>
    Array.from({ length: 100_000 }, (_, n) => n + 0.5),
  );
  const before = process.memoryUsage().heapUsed;
  t.ok(before > 80 * MEGABYTE);
  kept = [];
  heap.giveBack();
  t.ok(before - process.memoryUsage().heapUsed > 70 * MEGABYTE, 'what nobody uses is gone');
  t.equal(kept.length, 0);
  t.equal(runInNewContext('typeof gc'), 'undefined');
});

t.test('it is given back twice after the first sync, unless the agent ends before', async (t) => {
  const clock = new FakeClock();
  let given = 0;
  const giveBack = () => {
    given++;
  };
  giveBackSoon({ giveBack }, clock);
  await clock.pass(1000);
  t.equal(given, 0);
  await clock.pass(60_000);
  t.equal(given, 2);
  const cancel = giveBackSoon({ giveBack }, clock);
  await clock.pass(2000);
  cancel();
  await clock.pass(60_000);
  t.equal(given, 3);
});

t.test('an agent goes on where it cannot be given back, and does not try again', async (t) => {
  const clock = new FakeClock();
  let tries = 0;
  giveBackSoon(
    {
      giveBack() {
        tries++;
        throw new Error('no such function');
      },
    },
    clock,
  );
  await clock.pass(60_000);
  t.equal(tries, 1);
});

/**
 * Prints how often a new function of some 100 bytes of byte code was run when its machine code was there, before and after compileSoon().
 * V8 compiles within the run here (--single-threaded), so that nothing depends on other threads.
 */
const COUNT_RUNS = `
  const { heap } = await import(process.argv[1]);
  const count = () => {
    const body = Array.from({ length: 20 }, (_, i) => 'sum = (sum ^ (a + ' + i + ')) | 0;').join('');
    const work = new Function('a', 'let sum = 0;' + body + 'return sum;');
    for (let runs = 1; runs < 20_000; runs++) {
      work(runs);
      if ((%GetOptimizationStatus(work) & 16) !== 0) return runs;
    }
    return Infinity;
  };
  const before = count();
  heap.compileSoon();
  console.log(JSON.stringify([before, count()]));
`;

t.test('what runs once a change is compiled after a tenth of the runs', (t) => {
  const flags = ['--single-threaded', '--allow-natives-syntax', '--input-type=module'];
  const module = new URL('../../../src/host/heap.js', import.meta.url).href;
  const printed = execFileSync(process.execPath, [...flags, '--eval', COUNT_RUNS, module], {
    encoding: 'utf8',
  });
  const [before, after] = JSON.parse(printed) as [number, number];
  t.ok(after < before / 3, `after ${after} runs, before after ${before}`);
  t.end();
});

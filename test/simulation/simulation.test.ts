/**
 * Some histories of each mode, in processes of their own: they have a time of their own. scripts/test lives 10,000 more
 * (scripts/lib/test/tasks.mjs).
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { MODES } from './modes.js';

const run = promisify(execFile);
const program = (name: string) => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

async function outputOf(name: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [program(name), ...args]).catch(
    (error: { stdout: string }) => error,
  );
  return stdout;
}

for (const mode of MODES) {
  t.test(`mode ${mode}`, async (t) => {
    const said = await outputOf('many', '12', '1', mode);
    t.match(said, /^12 histories, 0 do not hold, [\d.]+ s\n$/);
  });
}

// Each found a fault once.
for (const [seed, mode] of [
  ['3290', 'ipvs'],
  ['4124', 'ipvs'],
] as const) {
  t.test(`history ${seed}, mode ${mode}`, async (t) => {
    t.match(await outputOf('replay', seed, mode), new RegExp(`history ${seed} holds`));
  });
}

t.test('a seed tells the same history each time', async (t) => {
  const first = await outputOf('replay', '11');
  t.match(first, /quiet[\s\S]*history 11 holds/);
  t.equal(await outputOf('replay', '11'), first);
});

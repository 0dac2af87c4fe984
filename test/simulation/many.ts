/** Many histories, one after the other: node dist/test/simulation/many.js COUNT [FIRST_SEED] [MODE]. Prints what does not hold. */
import { liveHistory } from './history.js';
import { MODES } from './modes.js';

const [count = '1000', first = '1', mode = ''] = process.argv.slice(2);
const modes = MODES.filter((each) => mode === '' || each === mode);
// Nobody reads the stacks of the errors that histories are full of.
Error.stackTraceLimit = 0;
const started = process.hrtime.bigint();
let failed = 0;
for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  try {
    await liveHistory(seed, { modes });
  } catch (error) {
    failed++;
    const [line = '', ...more] = String(error instanceof Error ? error.message : error).split('\n');
    process.stdout.write(
      `${seed}: ${line}\n${more
        .slice(0, 4)
        .map((text) => `    ${text.slice(0, 150)}\n`)
        .join('')}`,
    );
  }
}
const seconds = Number(process.hrtime.bigint() - started) / 1e9;
process.stdout.write(`${count} histories, ${failed} do not hold, ${seconds.toFixed(1)} s\n`);
process.exit(failed > 0 ? 1 : 0);

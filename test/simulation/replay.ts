/** One history, alone, with everything that happens in it: node dist/test/simulation/replay.js SEED [MODE]. */
import { liveHistory } from './history.js';
import { MODES } from './modes.js';

const [seed = '', mode = ''] = process.argv.slice(2);
if (!/^\d+$/.test(seed)) {
  process.stderr.write('usage: replay.js SEED [MODE]\n');
  process.exit(2);
}
const modes = MODES.filter((each) => mode === '' || each === mode);
try {
  const { steps, lived } = await liveHistory(Number(seed), {
    modes,
    say: (line) => process.stdout.write(line.endsWith('\n') ? line : `${line}\n`),
  });
  process.stdout.write(`history ${seed} holds: ${steps} steps, ${Math.round(lived / 1000)} s\n`);
} catch (error) {
  process.stdout.write(`history ${seed} does not hold: ${error instanceof Error ? error.stack : error}\n`);
  process.exitCode = 1;
}

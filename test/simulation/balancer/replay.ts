/** One history of announcing, alone, with everything that happens: node dist/test/simulation/balancer/replay.js SEED [FAULTS]. */
import { liveAnnouncing } from './announcingHistory.js';

const [seed = '', faults = '100'] = process.argv.slice(2);
if (!/^\d+$/.test(seed) || !/^\d+$/.test(faults)) {
  process.stderr.write('usage: replay.js SEED [FAULTS]\n');
  process.exit(2);
}
try {
  const outcome = await liveAnnouncing(Number(seed), {
    faults: Number(faults),
    say: (line) => process.stdout.write(`${line}\n`),
  });
  process.stdout.write(`history ${seed} holds: ${JSON.stringify(outcome)}\n`);
} catch (error) {
  process.stdout.write(`history ${seed} does not hold: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}

// What scripts/count-instructions counted, beside what is recorded. FOLDER KEY [--record], or --knows KEY.
import { readFileSync, writeFileSync } from 'node:fs';

const FILE = 'bench/counted/instructions.json';
/** Nothing of ours: it shows whether this machine counts as the one that recorded. */
const YARDSTICK = 'the language alone';
const YARDSTICK_MAY_DIFFER = 0.02;
/** A part may take so much of what is recorded; and what takes less is worth a new record. */
const MOST = 1.05;
const LEAST = 0.95;
/** And so many, whatever its size: the shortest part took 321,000 or 357,000 in runs of the same program. */
const SPREAD = 50_000;

const recorded = JSON.parse(readFileSync(FILE, 'utf8'));
const [folder, key, command] = process.argv.slice(2);
if (folder === '--knows') {
  if (recorded[key]) process.exit(0);
  console.log(`count-instructions: ${FILE} has nothing of ${key}; --record writes it`);
  process.exit(1);
}

const parts = JSON.parse(readFileSync(`${folder}/parts`, 'utf8').trim().split('\n').at(-1));
/** The accounts: what came before a part, the part, and so on. */
const counted = Object.fromEntries(parts.map((part, i) => [part, instructions(`${folder}/out.${2 * i + 2}`)]));

function instructions(path) {
  const found = /^summary: (\d+)$/m.exec(readFileSync(path, 'utf8'));
  if (!found) throw new Error(`${path}: no summary`);
  return Number(found[1]);
}

if (command === '--record') {
  recorded[key] = counted;
  writeFileSync(FILE, `${JSON.stringify(recorded, null, 2)}\n`);
  console.log(`recorded for ${key}`);
  process.exit(0);
}
const yardstick = counted[YARDSTICK] / recorded[key][YARDSTICK];
if (Math.abs(yardstick - 1) > YARDSTICK_MAY_DIFFER) {
  console.log(`count-instructions: ${YARDSTICK} takes ${yardstick.toFixed(4)} of what is recorded: this machine counts otherwise, nothing is compared`);
  process.exit(3);
}
let failures = 0;
for (const [part, now] of Object.entries(counted)) {
  const before = recorded[key][part];
  const ratio = now / before;
  const isTooMany = now > before * MOST + SPREAD;
  const verdict =
    before === undefined ? 'not recorded' : isTooMany ? 'TOO MANY' : ratio < LEAST ? 'fewer: record it' : 'ok';
  if (before === undefined || isTooMany) failures++;
  const shown = before === undefined ? '' : `${ratio.toFixed(4)} of ${before}`;
  console.log(`${part.padEnd(42)} ${String(now).padStart(12)}  ${shown.padEnd(24)} ${verdict}`);
}
if (failures > 0) console.log(`\n${failures} parts take over 5 % more than is recorded. Where that is meant: scripts/count-instructions --record`);
process.exit(failures > 0 ? 1 : 0);

// Runs the tests that scripts/test has built, side by side as far as they do not disturb each other, and ends with the line
// `N passed, N failed`.
//   main.mjs NODES KERNEL [--quick] [PATTERN...]
// NODES: `20=/folder/of/node:24=…`, the usual one first. KERNEL: what scripts/vm boots, uml or qemu. Patterns (regular
// expressions) choose test files; then nothing else runs.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { endAll } from './command.mjs';
import { CONFORMANCE, checkMeant } from './conformance.mjs';
import { runTasks } from './pool.mjs';
import { allTasks } from './tasks.mjs';

const [nodesText, kernel, ...words] = process.argv.slice(2);
const nodes = nodesText.split(':').map((each) => {
  const [version, folder] = each.split('=');
  return { version, folder };
});
const patterns = words.filter((word) => !word.startsWith('--')).map((word) => new RegExp(word));
/** One more than cores, and three at least: tests of the kernel wait more than they work. */
const places = Math.max(3, availableParallelism() + 1);
const logs = '.cache/logs';
rmSync(logs, { recursive: true, force: true });
mkdirSync(logs, { recursive: true });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    endAll();
    process.exit(130);
  });
}

const tasks = allTasks({ nodes, kernel, quick: words.includes('--quick'), patterns, logs });
if (tasks.length === 0) {
  console.error(`test: no test file matches ${patterns.join(' ')}`);
  process.exit(1);
}
/** Group → { passed, failed, meant, skipped, seconds }. */
const groups = new Map();
const again = [];
/** Of each task that has run: { task, seconds }. */
const durations = [];
await runTasks(tasks, places, (task, result) => {
  durations.push({ task, seconds: result.seconds });
  if (result.failed > 0 && task.again) again.push({ task, result });
  else count(task, result);
});

// What failed while others ran is tried once more, alone: it may look at times. A real fault fails again.
for (const { task, result } of again) {
  if (again.length > 12) count(task, result);
  else {
    console.log(`\n-- once more, alone: ${task.name} (${result.failed} failed; its words are in ${result.log}.first)`);
    const second = await task.run({ suffix: '.second' });
    count(task, second);
    if (second.failed === 0) console.log(`   ${task.name}: passed at the second try`);
  }
}

for (const each of CONFORMANCE) {
  const group = groups.get(`conformance flows: ${each.name}`);
  const wrong = group && checkMeant(each, group.meant);
  if (!wrong) continue;
  console.log(`\n${wrong}`);
  group.failed++;
}

if (patterns.length === 0) {
  console.log('\nslowest 20 (seconds; others ran beside):');
  const slowest = durations.toSorted((a, b) => b.seconds - a.seconds).slice(0, 20);
  for (const { task, seconds } of slowest) console.log(`${String(Math.round(seconds)).padStart(6)} ${task.group}: ${task.name}`);
}
const table = durations.map(({ task, seconds }) => `${seconds.toFixed(1)}\t${task.group}\t${task.name}\n`);
writeFileSync(`${logs}/durations.tsv`, table.join(''));

console.log('');
let passed = 0;
let failed = 0;
for (const [name, group] of groups) {
  passed += group.passed;
  failed += group.failed;
  console.log(
    `${name}: ${group.passed} passed, ${group.failed} failed (${Math.round(group.seconds)} s of work${group.notes.map((note) => `; ${note}`).join('')})`,
  );
}
console.log(`in ${Math.round(performance.now() / 1000)} s; logs are in ${logs}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function count(task, { passed, failed, meant = 0, seconds, text = '', notes = [] }) {
  const group = groups.get(task.group) ?? { passed: 0, failed: 0, meant: 0, seconds: 0, notes: [] };
  groups.set(task.group, group);
  group.passed += passed;
  group.failed += failed;
  group.meant += meant;
  group.seconds += seconds;
  group.notes.push(...notes.filter((note) => !group.notes.includes(note)));
  if (failed > 0) console.log(`\n== FAILED: ${task.group}: ${task.name}\n${text}`);
  else if (task.seconds > 60) console.log(`-- ${task.group}: ${task.name}: ${passed} passed (${Math.round(seconds)} s)`);
}

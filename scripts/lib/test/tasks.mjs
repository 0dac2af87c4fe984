// The parts of scripts/test, in the order in which they begin: first what takes long, and what runs one at a time.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { command } from './command.mjs';
import { CONFORMANCE, CONFORMANCE_IPVS, dealScenarios, readFlows, runnerArguments } from './conformance.mjs';
import { countTap, failuresIn, skipsIn } from './tap.mjs';

/** What does not look at times leaves the processor to what does: the kernel's tests, and the virtual machine's. */
const ASIDE = ['nice', '-n', '10'];

const SHARED = resolve('../shared/conformance');
const PRIVATE = [resolve('scripts/lib/private-world')];
/** Seconds for all that runs where the processor is emulated. */
const EMULATED_LIMIT = 1150;
/** Of the runner of flows, for one file of scenarios: here, and in a virtual machine. Each file costs the making of a world. */
const FLOWS_LIMIT = 900;
const FLOWS_LIMIT_VM = 1500;

/**
 * What these ask is a function of its arguments: it touches neither Node nor a package (scripts/lint-imports.mjs holds the first
 * five to that; the plans of a dataplane are values before they are written), so that another Node can only differ by a fault of
 * V8. Properties and the simulation are long besides. The usual Node runs all of them.
 */
const SAME_ON_EVERY_NODE =
  /^dist\/test\/(simulation|unit\/(routing|balancing|objects|net|time|explain|compare|deploy|dataplane\/(nftables|iptables|ipvs|family)))\/|\.property\.test\.js$/;

/** What of the kernel's tests is about Node itself: its event loop with the addon's socket, and what it does with signals. */
const NODES_OWN = /\/kernel\/netlink\/|\/modes\/signals\.test\.js$/;

function dependsOnNode(path) {
  return !SAME_ON_EVERY_NODE.test(path);
}

function pureGroup({ version }, isUsual) {
  return isUsual ? `everything pure, on Node ${version}` : `what depends on Node, on Node ${version}`;
}

const KERNEL_GROUP = 'the kernel, and whole agents on it';
const IPVS_GROUP = 'mode ipvs in a virtual machine';

export function allTasks({ nodes, kernel, quick, patterns, logs }) {
  const [usual] = nodes;
  const files = readdirSync('dist/test', { recursive: true })
    .filter((path) => path.endsWith('.test.js'))
    .map((path) => join('dist/test', path))
    .filter((path) => patterns.length === 0 || patterns.some((pattern) => pattern.test(path)))
    .sort();
  const below = (folder) => files.filter((path) => path.startsWith(`dist/test/${folder}/`));
  const inVm = below('system/vm');
  const onKernel = below('system').filter((path) => !inVm.includes(path));

  const test = (node, group, path, more = {}) => tapTask({ node, group, path, logs, ...more });
  // They look at times, so no two of them run at once. What the kernel does is no business of Node's: on one version.
  const system = onKernel.map((path) => test(usual, KERNEL_GROUP, path, { room: 'kernel', again: true, seconds: 480 }));
  const pure = nodes.flatMap((node) => [
    ...files
      .filter((path) => !path.startsWith('dist/test/system/'))
      .filter((path) => node === usual || dependsOnNode(path))
      .map((path) => test(node, pureGroup(node, node === usual), path, { again: true, seconds: 480 })),
    ...(node === usual ? [] : onKernel.filter((path) => NODES_OWN.test(path))).map((path) =>
      test(node, `the netlink socket and signals, on Node ${node.version}`, path, { again: true, seconds: 240 }),
    ),
  ]);
  const machine =
    kernel === 'qemu' && patterns.length === 0
      ? [emulatedTask({ node: usual, files: inVm, quick, logs })]
      : inVm.map((path) => test(usual, IPVS_GROUP, path, { room: 'vm', again: true, seconds: 900 }));
  if (patterns.length > 0) return [...machine, ...system, ...pure];

  const flows = !quick && existsSync(SHARED);
  if (!quick && !flows) console.log('conformance flows are left out: ../shared is not here');
  return [
    ...interleave(system, [
      ...machine,
      ...(flows && kernel === 'uml' ? flowTasks(CONFORMANCE_IPVS, { node: usual, parts: 5, logs, inVm: true }) : []),
      ...(quick
        ? []
        : [
            scriptTask('the proxy engine under sanitizers', './scripts/sanitize', [], 900, logs),
            scriptTask('root file systems as deploy/Dockerfile says', './scripts/rootfs', ['check'], 900, logs),
          ]),
      ...(flows ? CONFORMANCE.flatMap((each) => flowTasks(each, { node: usual, parts: 3, logs })) : []),
    ]),
    ...simulationTasks({ node: usual, quick, logs }),
    ...pure,
  ];
}

/** Whole agents in histories at random (test/simulation): seeds 1 to 1200; more by `node dist/test/simulation/many.js COUNT FIRST`. */
function simulationTasks({ node, quick, logs }) {
  // A history takes a tenth of a second of one core, twice that before V8 has compiled what it runs: few parts, and long ones.
  const [parts, histories] = quick ? [1, 250] : [2, 600];
  return Array.from({ length: parts }, (_, i) => {
    const first = 1 + i * histories;
    return {
      name: `seeds ${first} to ${first + histories - 1}`,
      group: 'simulated histories of whole agents',
      seconds: 0,
      run: timed(async () => {
        const log = `${logs}/histories-${first}.log`;
        const args = ['--max-semi-space-size=64', 'dist/test/simulation/many.js', String(histories), String(first)];
        await command(join(node.folder, 'node'), args, { log, seconds: 1200, env: envOf(node), under: ASIDE });
        const text = readFileSync(log, 'utf8');
        const [, failed] = /^\d+ histories, (\d+) do not hold/m.exec(text) ?? [];
        if (failed === undefined) return { passed: 0, failed: 1, text };
        return { passed: histories - Number(failed), failed: Number(failed), text };
      }),
    };
  });
}

/** One of each in turn: the first list has one room for all, so that what follows goes on beside it. */
function interleave(first, second) {
  const all = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) all.push(...first.slice(i, i + 1), ...second.slice(i, i + 1));
  return all;
}

/** A test file by itself: each prints TAP. */
function tapTask({ node, group, path, logs, room, again = false, seconds }) {
  const name = path.replace(/^dist\/test\//, '');
  return {
    name,
    group,
    room,
    again,
    seconds: 0,
    run: timed(async ({ suffix = '' } = {}) => {
      const log = `${logs}/${name.replaceAll('/', '-')}-node${node.version}.log${suffix}`;
      const status = await command(join(node.folder, 'node'), [path], {
        log,
        seconds: seconds + 30,
        env: envOf(node, seconds),
        under: room === undefined ? ASIDE : [],
      });
      return { log, ...readTap(readFileSync(log, 'utf8'), status) };
    }),
  };
}

function readTap(text, status) {
  const counted = countTap(text);
  const passed = counted?.passed ?? 0;
  // A file that ends badly has failed, whatever it counted.
  const failed = Math.max(counted?.failed ?? 1, status === 0 ? 0 : 1);
  const skipped = skipsIn(text).length;
  return { passed, failed, text: failed > 0 ? failuresIn(text) : '', notes: skipped > 0 ? [`skipped: ${skipsIn(text)[0]}`] : [] };
}

function scriptTask(group, program, args, seconds, logs) {
  return {
    name: program,
    group,
    seconds,
    run: timed(async () => {
      const log = `${logs}/${program.split('/').at(-1)}.log`;
      const status = await command(program, args, { log, seconds });
      const text = readFileSync(log, 'utf8').split('\n').slice(-50).join('\n');
      return { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, text };
    }),
  };
}

/** In a world of its own each, or in a virtual machine each. */
function flowTasks(each, { node, parts, logs, inVm = false }) {
  const dealt = dealScenarios(each, join(SHARED, 'flows.json'), parts, `${logs}/flows-${each.name.replace(/\W+/g, '-')}`);
  const limit = inVm ? FLOWS_LIMIT_VM : FLOWS_LIMIT;
  const under = inVm ? ['./scripts/vm', '--timeout', String(limit)] : PRIVATE;
  return dealt.map(({ file, flows }, i) => ({
    name: `part ${i + 1} of ${dealt.length}`,
    group: `conformance flows: ${each.name}`,
    room: inVm ? 'vm' : undefined,
    again: true,
    seconds: limit,
    run: timed(async ({ suffix = '' } = {}) => {
      const log = `${file.replace(/json$/, 'log')}${suffix}`;
      const args = runnerArguments(each, join(SHARED, 'run.py'), resolve(file), { asIs: inVm });
      await command('python3', args, { log, seconds: limit + 30, env: { ...envOf(node), ...(inVm ? { CONFORMANCE_LIMIT: '120' } : {}) }, under });
      const text = readFileSync(log, 'utf8');
      return { log, ...(readFlows(each, text) ?? { passed: 0, failed: flows, text: text.split('\n').slice(-50).join('\n') }) };
    }),
  }));
}

/** All of mode ipvs in one machine: to boot it takes as long as a test. What it has no time for is left out, and named. */
function emulatedTask({ node, files, quick, logs }) {
  const folder = resolve('.cache/emulated');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const parts = !quick && existsSync(SHARED) ? dealScenarios(CONFORMANCE_IPVS, join(SHARED, 'flows.json'), 26, `${folder}/flows`) : [];
  const runner = join(SHARED, 'run.py');
  return {
    name: 'under qemu',
    group: IPVS_GROUP,
    room: 'vm',
    seconds: EMULATED_LIMIT,
    run: timed(async () => {
      const log = `${logs}/emulated.log`;
      await command('node', ['scripts/bundle.mjs', `${folder}/bundle`], { log: `${logs}/bundle.log`, seconds: 120, env: envOf(node) });
      const under = ['./scripts/vm', '--qemu', '--memory', '2048', '--timeout', String(EMULATED_LIMIT + 30)];
      const args = [String(EMULATED_LIMIT), runner, ...files, '--', ...parts.map(({ file }) => file)];
      await command('./scripts/lib/test/emulated', args, { log, seconds: EMULATED_LIMIT + 60, env: envOf(node), under });
      const text = readFileSync(log, 'utf8');
      const tests = countTap(text) ?? { passed: 0, failed: 1 };
      const flows = [...text.matchAll(/^(\d+) passed, (\d+) failed/gm)];
      const failed = tests.failed + flows.reduce((n, [, , bad]) => n + Number(bad), 0) + Number(!/^emulated: end$/m.test(text));
      return {
        passed: tests.passed + flows.reduce((n, [, ok]) => n + Number(ok), 0),
        failed,
        text: failed > 0 ? failuresIn(text) : '',
        notes: [...text.matchAll(/^left out: .*$/gm)].map(([line]) => line),
      };
    }),
  };
}

function envOf(node, seconds) {
  return {
    PATH: `${node.folder}:${resolve('bin')}:${process.env.PATH}`,
    ...(seconds === undefined ? {} : { TAP_TIMEOUT: String(seconds) }),
  };
}

function timed(run) {
  return async (options) => {
    const start = performance.now();
    const result = await run(options);
    return { ...result, seconds: (performance.now() - start) / 1000 };
  };
}

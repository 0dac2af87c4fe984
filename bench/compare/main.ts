/** scripts/compare: kube-proxy, whose binary is given, and penstock with the same objects, side by side. */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readArguments, WrongCall } from '../../src/cli/readArguments.js';
import { modeFlag } from '../../src/cli/see/modelFlags.js';
import { formatOf, OUTPUT_FLAG, printJson } from '../../src/cli/see/output.js';
import type { CellResult } from '../../src/cli/see/selftest/Cell.js';
import { inOwnNamespaces } from '../../src/cli/see/selftest/inNamespaces.js';
import { packageVersion } from '../../src/cli/version.js';
import { messageOf } from '../../src/errors.js';
import type { IpFamily } from '../../src/net/ip.js';
import { printable } from '../../src/net/printable.js';
import type { ContenderCommand } from './Contender.js';
import type { ConformanceResult } from './conformance.js';
import { type InsideTask, inside, type ScenarioTask } from './inside.js';
import { type Comparison, comparisonText, conformanceRows, flowRows, type SpeedRow } from './report.js';
import type { SpeedResult } from './speed.js';

const HELP = `scripts/compare --kube-proxy PATH [--mode MODE] [--penstock-mode MODE…] [--size NxM…] [-o json]

Gives kube-proxy and penstock the same objects, one after the other, each in a small cluster of network namespaces of its own (a
node, three pods, a client outside; needs root), makes the same connections to every kind of VIP, and measures both. Prints
Markdown. PATH is a kube-proxy: nodes have it, and images (registry.k8s.io/kube-proxy).

  --kube-proxy PATH      the program; must know --config and --version
  --mode MODE            of kube-proxy: iptables (default), ipvs, nftables
  --penstock-mode MODE   may be repeated; default: the same as kube-proxy's, and nftables
  --family 4|6           of flows: only this one
  --conformance FOLDER   with flows.json and run.py (needs python3): these flows too; default: ../shared/conformance, if it is there
  --scenario TEXT        only conformance flows of scenarios with this in their name
  --only flows|conformance|speed
                         only this part
  --size NxM             for the speed table: N Services of M endpoints; may be repeated; default: 1000x5
  --changes N            of an endpoint, at each size; default: 10
  --patience SECONDS     how long each may take to serve; default: 300
  -o json                everything, for programs

Exit status: 0 no flow differs, 1 some do, 2 could not look.
`;

const PENSTOCK = fileURLToPath(new URL('../../../bin/penstock', import.meta.url));
const SHARED = fileURLToPath(new URL('../../../../shared/conformance', import.meta.url));
const OPTIONS = {
  ...OUTPUT_FLAG,
  'kube-proxy': { type: 'string' },
  mode: { type: 'string' },
  'penstock-mode': { type: 'string', multiple: true },
  family: { type: 'string' },
  only: { type: 'string' },
  conformance: { type: 'string' },
  scenario: { type: 'string' },
  size: { type: 'string', multiple: true },
  changes: { type: 'string' },
  patience: { type: 'string' },
  // How it calls itself in namespaces.
  inside: { type: 'string' },
} as const;

/** Milliseconds. */
const VERSION_PATIENCE = 30_000;

async function main(argv: readonly string[]): Promise<number> {
  const { values } = readArguments(argv, { options: OPTIONS });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.inside !== undefined) return inside(JSON.parse(values.inside) as InsideTask | ScenarioTask);
  const format = formatOf(values.output);
  const path = programOf(values['kube-proxy']);
  const mode = modeFlag(values.mode) ?? 'iptables';
  const own = values['penstock-mode']?.map((text) => modeFlag(text) ?? mode) ?? [mode, 'nftables'];
  const families = familiesOf(values.family);
  const only = oneOf('--only', values.only, ['flows', 'conformance', 'speed']);
  const conformance = conformanceFolder(values.conformance, only === 'conformance');
  const sizes = (values.size ?? ['1000x5']).map(sizeOf);
  const changes = count('--changes', values.changes, 10);
  const patienceMs = count('--patience', values.patience, 300) * 1000;
  const contenders: ContenderCommand[] = [
    { name: `kube-proxy, mode ${mode}`, command: [path], mode },
    ...[...new Set(own)].map(
      (each): ContenderCommand => ({
        name: `penstock, mode ${each}`,
        command: [PENSTOCK, 'run'],
        mode: each,
      }),
    ),
  ];
  const kubeProxy = await versionOf(path);
  const machine = `Linux ${release()}, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(2)} at the start`;
  const cells: CellResult[][] = [];
  for (const contender of only === undefined || only === 'flows' ? contenders : [])
    cells.push(
      await ask<CellResult[]>('flows', { do: 'flows', penstock: PENSTOCK, contender, families, patienceMs }),
    );
  const observed: (readonly ConformanceResult[])[] = [];
  if (conformance !== undefined && (only === undefined || only === 'conformance'))
    for (const contender of contenders) {
      const scenario = values.scenario ?? '';
      const what = { penstock: PENSTOCK, contender, folder: conformance, scenario, patienceMs };
      observed.push(await ask<ConformanceResult[]>('conformance flows', { do: 'conformance', ...what }));
    }
  const speed: SpeedRow[] = [];
  for (const [services, endpoints] of only === undefined || only === 'speed' ? sizes : []) {
    const results: SpeedResult[] = [];
    for (const contender of contenders) {
      const what = { penstock: PENSTOCK, contender, services, endpoints, changes, patienceMs };
      results.push(await ask<SpeedResult>(`${services} x ${endpoints}`, { do: 'speed', ...what }));
    }
    speed.push({ services, endpoints, results });
  }
  const names = contenders.map(({ name }) => name);
  const flows = flowRows(cells);
  const conforming = conformanceRows(observed);
  const comparison: Comparison = {
    kubeProxy,
    penstock: packageVersion(),
    machine,
    contenders: names,
    flows,
    conformance: conforming,
    speed,
  };
  if (format === 'json') printJson(comparison);
  else process.stdout.write(comparisonText(comparison));
  return [...flows, ...conforming].every(({ same }) => same) ? 0 : 1;
}

async function ask<T extends object>(what: string, task: InsideTask): Promise<T> {
  const began = performance.now();
  const program = fileURLToPath(import.meta.url);
  const found = await inOwnNamespaces<T>([process.execPath, [program, '--inside', JSON.stringify(task)]]);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  process.stderr.write(`compare: ${task.contender.name}: ${what}, ${seconds} s\n`);
  return found;
}

function programOf(text: string | undefined): string {
  if (text === undefined) throw new WrongCall('--kube-proxy PATH is missing', 'See --help.');
  const path = resolve(text);
  try {
    accessSync(path, constants.X_OK);
    if (!statSync(path).isFile()) throw new Error('no file');
  } catch (error) {
    throw new WrongCall(`--kube-proxy ${text} cannot be run: ${messageOf(error)}`);
  }
  return path;
}

async function versionOf(path: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: VERSION_PATIENCE });
    return stdout.trim().split('\n')[0] ?? '';
  } catch (error) {
    throw new WrongCall(
      `--kube-proxy ${path} does not say its --version: ${messageOf(error).split('\n')[0]}`,
    );
  }
}

function familiesOf(text: string | undefined): readonly IpFamily[] {
  const which = oneOf('--family', text, ['4', '6']);
  if (which === undefined) return ['IPv4', 'IPv6'];
  return [which === '4' ? 'IPv4' : 'IPv6'];
}

/** Undefined: there are none, and nobody asked for them. */
function conformanceFolder(text: string | undefined, isAsked: boolean): string | undefined {
  const folder = text === undefined ? SHARED : resolve(text);
  const missing = ['flows.json', 'run.py'].find((name) => !existsSync(join(folder, name)));
  if (missing === undefined) return folder;
  if (text === undefined && !isAsked) return undefined;
  throw new WrongCall(`--conformance ${folder}: there is no ${missing} in it`);
}

function oneOf(flag: string, text: string | undefined, words: readonly string[]): string | undefined {
  if (text !== undefined && !words.includes(text))
    throw new WrongCall(
      `${flag} ${JSON.stringify(text)}: there are ${words.slice(0, -1).join(', ')} and ${words.at(-1)}`,
    );
  return text;
}

function sizeOf(text: string): readonly [number, number] {
  const [, services, endpoints] = /^([1-9]\d{0,4})x([1-9]\d{0,2})$/.exec(text) ?? [];
  if (services === undefined || endpoints === undefined || Number(services) < 2)
    throw new WrongCall(`--size ${JSON.stringify(text)} is no size like 1000x5`);
  return [Number(services), Number(endpoints)];
}

function count(flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9]\d{0,4}$/.test(text))
    throw new WrongCall(`${flag} ${JSON.stringify(text)} is no number from 1`);
  return Number(text);
}

/** One line, exit status 2: whatever goes wrong. */
function complain(error: unknown): number {
  const { remedy } = error as { remedy?: string };
  const text = [messageOf(error), remedy].filter((part) => part !== undefined && part !== '').join(' → ');
  process.stderr.write(`compare: ${printable(text.replaceAll('\n', ' '))}\n`);
  return 2;
}

process.exitCode = await main(process.argv.slice(2)).catch(complain);

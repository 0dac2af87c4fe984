/**
 * npm run bench -- memory ROUNDS BIN/PENSTOCK...
 *
 * What an agent of mode nftables keeps in memory once its first sync is over, beside Node alone with the same flags. Several
 * installations in turns, round by round. Resident memory is what the kernel counts; of it "own" is what no file has.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { rawObjects } from '../objects.js';
import { inNamespace } from '../parts/inNamespace.js';
import { median, table } from '../parts/statistics.js';

const SIZES = [
  [1, 1],
  [2000, 3],
  [10_000, 10],
  [50_000, 5],
] as const;
const CONFIG = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: node-0
clusterCIDR: 10.0.0.0/8
conntrack: {maxPerCore: 0, min: 0}
`;
/** After the first sync: V8 and the agent give back what they needed for it. */
const SETTLE_MS = 10_000;
const MILESTONE = /synced: /;

/** Megabytes, and milliseconds of processor time until the first sync and after it. */
interface Memory {
  readonly resident: number;
  readonly own: number;
  readonly peak: number;
  readonly cpuMs: number;
  readonly cpuAfterMs: number;
}

async function measure(services: number, endpoints: number, program: string): Promise<Memory> {
  for (const command of ['link set lo up', 'address add 192.0.2.1/32 dev lo', 'route add default dev lo'])
    execFileSync('ip', command.split(' '));
  const folder = mkdtempSync(join(tmpdir(), 'penstock-bench-'));
  const items = rawObjects(services, endpoints);
  writeFileSync(join(folder, 'objects.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  const config = join(folder, '.config.yaml');
  writeFileSync(config, CONFIG);
  const agent = spawn(program, ['run', '--config', config, '--manifests', folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await said(agent, MILESTONE);
    const cpuMs = processorMs(agent);
    await sleep(SETTLE_MS);
    return { ...memory(agent), cpuMs, cpuAfterMs: processorMs(agent) - cpuMs };
  } finally {
    agent.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

/** Megabytes of Node with the flags in the first line of `program`. */
async function bareNode(program: string): Promise<number> {
  const flags = /^#!.* node (.*)$/m.exec(readFileSync(program, 'utf8'))?.[1]?.split(' ') ?? [];
  const node = spawn(process.execPath, [...flags, '-e', 'console.log(1);setInterval(() => {}, 1000)'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await said(node, /1/);
  await sleep(1000);
  const { resident } = memory(node);
  node.kill('SIGKILL');
  return resident;
}

function said(child: ChildProcess, what: RegExp): Promise<void> {
  let text = '';
  return new Promise((resolve, reject) => {
    child.on('exit', () => reject(new Error(`it ended:\n${text}`)));
    child.stdout?.on('data', (chunk) => {
      text += chunk;
      if (what.test(text)) resolve();
    });
  });
}

function memory({ pid }: ChildProcess): Pick<Memory, 'resident' | 'own' | 'peak'> {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  return { resident: megabytes('VmRSS'), own: megabytes('RssAnon'), peak: megabytes('VmHWM') };
}

function processorMs({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const [role = '3', ...rest] = process.argv.slice(2);
if (role === 'measure') {
  const [services, endpoints, program] = rest;
  const result = await measure(Number(services), Number(endpoints), program as string);
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
} else {
  const programs = rest.length > 0 ? rest : ['bin/penstock'];
  process.stdout.write(`Node alone: ${(await bareNode(programs[0] as string)).toFixed(1)} MB resident\n`);
  for (const [services, endpoints] of SIZES) {
    const results = new Map(programs.map((program) => [program, [] as Memory[]]));
    for (let round = 0; round < Number(role); round++) {
      for (const [program, list] of results) {
        const args = ['measure', `${services}`, `${endpoints}`, program];
        list.push(JSON.parse(await inNamespace(fileURLToPath(import.meta.url), args)) as Memory);
      }
    }
    const rows = [...results].map(([program, list]) => [
      program,
      ...(['resident', 'own', 'peak'] as const).map((field) =>
        median(list.map((each) => each[field])).toFixed(1),
      ),
      ...(['cpuMs', 'cpuAfterMs'] as const).map((field) => median(list.map((each) => each[field]))),
    ]);
    const header = [
      `${services} x ${endpoints}`,
      'resident, MB',
      'own, MB',
      'peak, MB',
      'CPU to first sync, ms',
      'after it, ms',
    ];
    process.stdout.write(table(header, rows));
  }
}

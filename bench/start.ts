/**
 * How long a node waits for its Services: the agent started until 30 of them are in force. Several installations one after
 * the other, round by round, so that what else the machine does is the same for all:
 *   node dist/bench/start.js MODE ROUNDS BIN/PENSTOCK...     a network namespace of its own each; mode ipvs in scripts/vm
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rawObjects } from './objects.js';
import { inNamespace } from './parts/inNamespace.js';
import { median, table } from './parts/statistics.js';

const SERVICES = 30;
const ENDPOINTS = 3;

/** What the agent says, in the order in which it says it. */
const MILESTONES = {
  'program loaded': / penstock \d/,
  'mode opened': / mode \w+: .*\d/,
  'objects read': /everything has been read/,
  'in force': /synced: /,
} as const;

/** Milliseconds since the start; one for each milestone. */
async function measure(mode: string, program: string): Promise<number[]> {
  for (const command of ['link set lo up', 'address add 192.0.2.1/32 dev lo', 'route add default dev lo'])
    execFileSync('ip', command.split(' '));
  const folder = mkdtempSync(join(tmpdir(), 'penstock-bench-'));
  const objects = { apiVersion: 'v1', kind: 'List', items: rawObjects(SERVICES, ENDPOINTS) };
  writeFileSync(join(folder, 'objects.json'), JSON.stringify(objects));
  const config = join(folder, '.config.yaml');
  const settings = `mode: ${mode}\nhostnameOverride: node-0\nclusterCIDR: 10.0.0.0/8\nconntrack: {maxPerCore: 0, min: 0}\n`;
  writeFileSync(
    config,
    `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n${settings}`,
  );
  const started = performance.now();
  const agent = spawn(program, ['run', '--config', config, '--manifests', folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  const reached: number[] = [];
  await new Promise<void>((resolve, reject) => {
    agent.on('exit', () => reject(new Error(`the agent ended:\n${text}`)));
    agent.stdout.on('data', (chunk) => {
      text += chunk;
      for (const [i, milestone] of Object.values(MILESTONES).entries()) {
        if (milestone.test(text)) reached[i] ??= performance.now() - started;
      }
      if (reached.length === Object.keys(MILESTONES).length) resolve();
    });
  });
  agent.removeAllListeners('exit');
  agent.kill('SIGKILL');
  return reached;
}

const [mode = 'nftables', rounds = '5', ...programs] = process.argv.slice(2);
if (mode === 'measure') {
  process.stdout.write(`${JSON.stringify(await measure(rounds, programs[0] as string))}\n`);
} else {
  const results = new Map(programs.map((program) => [program, [] as number[][]]));
  // The first start of all is not counted: it loads modules and reads files from the disk.
  for (let round = 0; round <= Number(rounds); round++) {
    for (const [program, list] of results) {
      const args = ['measure', mode, program];
      const reached = JSON.parse(await inNamespace(fileURLToPath(import.meta.url), args)) as number[];
      if (round > 0) list.push(reached);
    }
  }
  const header = [`mode ${mode}, ms`, ...Object.keys(MILESTONES)];
  const rows = [...results].map(([program, list]) => [
    program,
    ...Object.keys(MILESTONES).map((_, i) => median(list.map((reached) => reached[i] as number))),
  ]);
  process.stdout.write(table(header, rows));
}

/**
 * npm run bench -- nftables
 *
 * Mode nftables at several sizes, each measurement in a fresh process and network namespace:
 *   core     routing table and dataplane, objects in memory: first sync, adoption by a second agent, single changes
 *   churn    1,000 changes a second for 30 s
 *   agent    `penstock run` on a folder of manifests: until ready, memory, CPU, and from the edit of a manifest to the
 *            first TCP connect to the cluster IP that the new endpoint answers
 */
import { fileURLToPath } from 'node:url';
import { type ChurnResult, measureChurn } from './nftables/nftablesChurn.js';
import { type CoreResult, measureCore } from './nftables/nftablesCore.js';
import { type AgentResult, measureAgent } from './parts/agent.js';
import { inNamespace } from './parts/inNamespace.js';
import { median, quantile, table } from './parts/statistics.js';

const SIZES = [
  [1000, 5],
  [10_000, 10],
  [50_000, 5],
] as const;
const RUNS = 3;

const ROLES: Record<string, (services: number, endpoints: number) => Promise<object>> = {
  core: measureCore,
  churn: measureChurn,
  agent: (services, endpoints) => measureAgent('nftables', services, endpoints),
};

const [role, services, endpoints] = process.argv.slice(2);
if (role !== undefined && ROLES[role]) {
  const result = await ROLES[role](Number(services), Number(endpoints));
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
} else {
  await report();
}

async function report(): Promise<void> {
  const rows = new Map<string, (string | number)[]>();
  const add = (name: string, value: string | number) =>
    rows.set(name, [...(rows.get(name) ?? [name]), value]);
  for (const [n, e] of SIZES) {
    const core = await runs<CoreResult>('core', n, e);
    const of = (pick: (result: CoreResult) => number) => median(core.map(pick));
    add(
      'first sync, ms',
      of((r) => r.firstSyncMs),
    );
    add(
      '  of it the kernel, ms',
      of((r) => r.firstSyncKernelMs),
    );
    add(
      'adoption after a restart, ms',
      of((r) => r.adoptMs),
    );
    for (const [name, pick] of [
      ['endpoint replaced', (r: CoreResult) => r.replaceMs],
      ['endpoint gone or back', (r: CoreResult) => r.scaleMs],
      ['Service new or gone', (r: CoreResult) => r.serviceMs],
    ] as const) {
      const all = core.flatMap((result) => [...pick(result)]);
      add(`${name}, p50 / p99, ms`, `${median(all).toFixed(2)} / ${quantile(all, 0.99).toFixed(2)}`);
    }
    if (n === 10_000) {
      const [churn] = await runs<ChurnResult>('churn', n, e, 1);
      if (churn) {
        const { p50, p99, most } = churn.latencyMs;
        process.stdout.write(
          `1,000 changes a second for 30 s at ${n} x ${e}: ${churn.changes} changes in ${churn.syncs} syncs, p50 ${p50.toFixed(1)} ms, ` +
            `p99 ${p99.toFixed(1)} ms, latest ${most.toFixed(1)} ms, ${(churn.cpuShare * 100).toFixed(0)} % of a core\n\n`,
        );
      }
    }
    const agent = await runs<AgentResult>('agent', n, e);
    const by = (pick: (result: AgentResult) => number) => median(agent.map(pick));
    add(
      'agent started to ready, ms',
      by((r) => r.readyMs),
    );
    const endToEnd = agent.flatMap((result) => [...result.endToEndMs]);
    add(
      'edit to first connect, median / most, ms',
      `${median(endToEnd).toFixed(0)} / ${Math.max(...endToEnd).toFixed(0)}`,
    );
    add('resident / peak, MB', `${by((r) => r.rssMb).toFixed(0)} / ${by((r) => r.peakMb).toFixed(0)}`);
    add(
      'CPU to ready, s',
      by((r) => r.cpuSelfS + r.cpuToolsS),
    );
    add('CPU for a change, s', by((r) => r.cpuPerChangeS).toFixed(3));
  }
  const header = ['', ...SIZES.map(([n, e]) => `${n} x ${e}`)];
  process.stdout.write(
    `Node.js ${process.version}, medians of ${RUNS} runs\n\n${table(header, [...rows.values()])}`,
  );
}

async function runs<T>(name: string, n: number, e: number, count = RUNS): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i++) {
    const args = [name, String(n), String(e)];
    results.push(JSON.parse(await inNamespace(fileURLToPath(import.meta.url), args)) as T);
  }
  return results;
}

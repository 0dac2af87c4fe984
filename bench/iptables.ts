/**
 * npm run bench -- iptables
 *
 * Mode iptables at several sizes, each measurement in a fresh network namespace:
 *   tool     the same rules given to iptables-restore alone, in one piece and cut as penstock cuts them
 *   core     routing table and dataplane in one process, objects in memory: full sync, then single endpoint changes
 *   agent    `penstock run` on a folder of manifests: until ready, memory, CPU, and from the edit of a manifest to the
 *            first TCP connect to the cluster IP that the new endpoint answers
 */
import { fileURLToPath } from 'node:url';
import { type AgentResult, measureAgent } from './parts/agent.js';
import { inNamespace } from './parts/inNamespace.js';
import { type CoreResult, measureCore, measureTool, type ToolResult } from './parts/iptablesCore.js';
import { median, quantile, table } from './parts/statistics.js';

const SIZES = [
  [1000, 5],
  [5000, 5],
] as const;
const RUNS = 3;

const ROLES: Record<string, (services: number, endpoints: number) => Promise<object>> = {
  tool: measureTool,
  core: measureCore,
  agent: (services, endpoints) => measureAgent('iptables', services, endpoints),
};

const [role, services, endpoints] = process.argv.slice(2);
if (role !== undefined && ROLES[role]) {
  const result = await ROLES[role](Number(services), Number(endpoints));
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
} else {
  await report();
}

async function report(): Promise<void> {
  const rows: (string | number)[][] = [];
  for (const [n, e] of SIZES) {
    const tool = await Promise.resolve(runs<ToolResult>('tool', n, e, n > 1000 ? 1 : RUNS));
    const core = await runs<CoreResult>('core', n, e, RUNS);
    const agent = await runs<AgentResult>('agent', n, e, RUNS);
    const of = <T>(list: readonly T[], pick: (item: T) => number) => median(list.map(pick));
    const all = <T>(list: readonly T[], pick: (item: T) => readonly number[]) =>
      list.flatMap((item) => [...pick(item)]);
    rows.push([
      `${n} x ${e}`,
      of(tool, (r) => r.onePieceMs),
      of(tool, (r) => r.cutMs),
      of(core, (r) => r.fullMs),
      of(core, (r) => r.fullOwnMs),
      median(all(core, (r) => r.changeMs)),
      median(all(core, (r) => r.changeOwnMs)),
      quantile(
        all(core, (r) => r.changeOwnMs),
        0.99,
      ),
      of(agent, (r) => r.readyMs),
      median(all(agent, (r) => r.endToEndMs)),
      Math.max(...all(agent, (r) => r.endToEndMs)),
      of(agent, (r) => r.rssMb),
      of(agent, (r) => r.peakMb),
      `${of(agent, (r) => r.cpuSelfS).toFixed(2)} + ${of(agent, (r) => r.cpuToolsS).toFixed(2)}`,
      of(agent, (r) => r.cpuPerChangeS).toFixed(3),
    ]);
  }
  const header = [
    'services x endpoints',
    'tool, one piece ms',
    'tool, cut ms',
    'full sync ms',
    'own share ms',
    'one change ms',
    'own share ms',
    'own p99 ms',
    'agent ready ms',
    'e2e median ms',
    'e2e max ms',
    'RSS MB',
    'peak MB',
    'CPU s to ready, self + tools',
    'CPU s per change',
  ];
  process.stdout.write(`Node.js ${process.version}, medians of ${RUNS} runs\n\n${table(header, rows)}`);
}

async function runs<T>(name: string, n: number, e: number, count: number): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i++)
    results.push(
      JSON.parse(await inNamespace(fileURLToPath(import.meta.url), [name, String(n), String(e)])) as T,
    );
  return results;
}

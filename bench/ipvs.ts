/**
 * Mode ipvs on a kernel with IPVS: the first sync and single changes, beside ipset restore, ipvsadm -R and ip -batch of the
 * same. Runs in the virtual machine: scripts/vm node dist/bench/ipvs.js
 */
import { fileURLToPath } from 'node:url';
import { inNamespace } from './parts/inNamespace.js';
import type { IpvsResult } from './parts/ipvsCore.js';
import { median, quantile, table } from './parts/statistics.js';

const ENDPOINTS = 5;
const SIZES = [200, 1000, 5000];
const ROUNDS = 3;

const measure = async (services: number) =>
  JSON.parse(await inNamespace(fileURLToPath(import.meta.url), ['measure', String(services)])) as IpvsResult;

if (process.argv[2] === 'measure') {
  const { measureIpvs } = await import('./parts/ipvsCore.js');
  process.stdout.write(`${JSON.stringify(await measureIpvs(Number(process.argv[3]), ENDPOINTS))}\n`);
} else {
  // The first rules make the kernel load its modules, whoever writes them: seconds that belong to nobody's figures.
  const cold = await measure(10);
  const results = new Map<number, IpvsResult[]>(SIZES.map((size) => [size, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [size, list] of results) list.push(await measure(size));
  }
  const rows = [...results].map(([size, list]) => {
    const middle = (of: (result: IpvsResult) => number) => median(list.map(of));
    const changes = list.flatMap(({ changeMs }) => changeMs);
    return [
      `${size} × ${ENDPOINTS}`,
      middle(({ firstMs }) => firstMs),
      middle(({ rulesMs }) => rulesMs),
      `${middle(({ firstMessages }) => firstMessages)}`,
      middle(({ toolsMs }) => toolsMs),
      middle(({ restartMs }) => restartMs),
      `${middle(({ restartMessages }) => restartMessages)}`,
      median(changes),
      quantile(changes, 0.95),
      `${median(list.flatMap(({ changeMessages }) => changeMessages))}`,
      `${Math.max(...list.flatMap(({ changeMessages }) => changeMessages))}`,
    ];
  });
  const header = [
    'services × endpoints',
    'first sync ms',
    'of it rules ms',
    'messages',
    'the tools ms',
    'restart ms',
    'messages',
    'one change ms',
    '95 % ms',
    'messages',
    'most',
  ];
  process.stdout.write(`with the modules to load: ${Math.round(cold.rulesMs)} ms for the rules\n\n`);
  process.stdout.write(table(header, rows));
}

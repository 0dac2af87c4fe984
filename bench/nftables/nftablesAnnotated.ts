/**
 * npm run bench -- nftablesAnnotated
 *
 * Syncs of 50 Services that scale to a number of endpoints that none had before, by algorithm, among 1,000 of which a quarter has
 * each; and one that comes and goes. maglev has thousands of elements a Service and is left out. All in the kernel of a network
 * namespace of its own, milliseconds in the kernel.
 */
import { fileURLToPath } from 'node:url';
import { service, slice } from '../objects.js';
import { inNamespace } from '../parts/inNamespace.js';
import { median, quantile } from '../parts/statistics.js';
import { filledTable, openDataplane } from './nftablesCore.js';

const ALGORITHMS = ['random', 'round-robin', 'least-connections', 'source-hash'] as const;
const SERVICES = 1000;
const ENDPOINTS = 10;
const PORTS = 50;
const ROUNDS = 6;
const COMINGS = 40;

if (process.argv[2] === 'measure') await measure();
else {
  const lines = JSON.parse(await inNamespace(fileURLToPath(import.meta.url), ['measure'])) as string[];
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

async function measure(): Promise<void> {
  const annotated = (n: number) => ({
    ...service(n),
    options: { algorithm: ALGORITHMS[n % ALGORITHMS.length] as string },
  });
  const dataplane = openDataplane();
  const table = filledTable(SERVICES, ENDPOINTS);
  table.apply(
    Array.from({ length: SERVICES }, (_, n) => ({ type: 'upsert', object: annotated(n) }) as const),
  );
  const sync = async (): Promise<number> => {
    const { families } = await dataplane.sync(table, table.commit());
    return families.reduce((sum, { kernelMs }) => sum + kernelMs, 0);
  };
  await sync();
  const lines: string[] = [];
  for (const [kind, algorithm] of ALGORITHMS.entries()) {
    const scaled: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      for (let i = 0; i < PORTS; i++) {
        const n = i * ALGORITHMS.length + kind;
        table.apply([{ type: 'upsert', object: slice(n, ENDPOINTS + round) }]);
      }
      scaled.push(await sync());
    }
    const n = SERVICES * ALGORITHMS.length + kind;
    const coming: number[] = [];
    for (let i = 0; i < COMINGS; i++) {
      table.apply([
        { type: 'upsert', object: annotated(n) },
        { type: 'upsert', object: slice(n, ENDPOINTS) },
      ]);
      coming.push(await sync());
      table.apply([{ type: 'delete', ref: annotated(n) }]);
      await sync();
    }
    lines.push(
      `${algorithm}: ${PORTS} that scale ${median(scaled).toFixed(1)} ms, a new one p50 / p99 ${median(coming).toFixed(2)} / ${quantile(coming, 0.99).toFixed(2)} ms`,
    );
  }
  await dataplane.close();
  process.stdout.write(`${JSON.stringify(lines)}\n`);
}

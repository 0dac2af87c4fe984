/**
 * Syncs of 50 Services whose endpoints scale, by algorithm, among 1,000 of which a sixth has each algorithm; and a Service that
 * comes and goes. Run in a network namespace: `unshare -n node dist/bench/nftablesAnnotated.js`.
 */
import { ALGORITHMS } from '../src/balancing/Balancing.js';
import { filledTable, openDataplane } from './nftablesCore.js';
import { service, slice } from './objects.js';
import { median } from './statistics.js';

const SERVICES = 1000;
const ENDPOINTS = 10;
const PORTS = 50;
const ROUNDS = 6;

const algorithmOf = (n: number) => ALGORITHMS[n % ALGORITHMS.length] as string;
const annotated = (n: number) => ({ ...service(n), options: { algorithm: algorithmOf(n) } });

const dataplane = openDataplane();
const table = filledTable(SERVICES, ENDPOINTS);
table.apply(Array.from({ length: SERVICES }, (_, n) => ({ type: 'upsert', object: annotated(n) }) as const));

async function syncMs(): Promise<number> {
  const started = performance.now();
  await dataplane.sync(table, table.commit());
  return performance.now() - started;
}

console.log(`first sync: ${(await syncMs()).toFixed(0)} ms`);
for (const [kind, algorithm] of ALGORITHMS.entries()) {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < PORTS; i++) {
      const n = i * ALGORITHMS.length + kind;
      table.apply([{ type: 'upsert', object: slice(n, ENDPOINTS + ((round + 1) % 2), round) }]);
    }
    times.push(await syncMs());
  }
  console.log(`${algorithm}: ${median(times).toFixed(1)} ms for ${PORTS} that scale`);
}
for (const [kind, algorithm] of ALGORITHMS.entries()) {
  const n = SERVICES * ALGORITHMS.length + kind;
  const times: number[] = [];
  for (let round = 0; round < 20; round++) {
    table.apply([
      { type: 'upsert', object: annotated(n) },
      { type: 'upsert', object: slice(n, ENDPOINTS) },
    ]);
    times.push(await syncMs());
    table.apply([{ type: 'delete', ref: annotated(n) }]);
    times.push(await syncMs());
  }
  console.log(`${algorithm}: ${median(times).toFixed(2)} ms for one that comes or goes`);
}
await dataplane.close();

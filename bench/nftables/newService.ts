/**
 * npm run bench -- newService [SIZES [KINDS]]        e.g. 1000x5,50000x5 plain,maglev
 *
 * A Service that comes and goes, by what is out of the ordinary with it, among many: among plain ones, and among those of its own
 * kind. Each case in a process and network namespace of its own; the time of the whole sync from the routing table on, and of it that
 * in the kernel. Then 200 annotated changes a second at 1,000 Services: how late is each in the kernel.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { heap } from '../../src/host/heap.js';
import type { IpAddress } from '../../src/net/ip.js';
import type { Service } from '../../src/objects/Service.js';
import { service, slice } from '../objects.js';
import { inNamespace } from '../parts/inNamespace.js';
import { median, quantile, table } from '../parts/statistics.js';
import { type Latency, measurePaced } from './nftablesChurn.js';
import { filledTable, openDataplane } from './nftablesCore.js';

/** What is out of the ordinary; `n` is the number of the Service. */
const KINDS: Readonly<Record<string, (n: number) => Partial<Service>>> = {
  plain: () => ({}),
  'external IP': (n) => ({ externalIPs: [`198.18.${(n >>> 8) & 255}.${n & 255}` as IpAddress] }),
  'node port': (n) => ({
    type: 'NodePort',
    ports: [{ name: 'http', protocol: 'TCP', port: 80, nodePort: 1024 + n }],
  }),
  'session affinity': () => ({ affinitySeconds: 10_800 }),
  random: () => annotated('random'),
  'round-robin': () => annotated('round-robin'),
  'source-hash': () => annotated('source-hash'),
  'least-connections': () => annotated('least-connections'),
  'power-of-two': () => annotated('power-of-two'),
  maglev: () => annotated('maglev'),
};
/** Of these at most so many are among the others: node ports are few, and maglev has a budget. */
const MOST: Readonly<Record<string, number>> = { 'node port': 60_000, maglev: 250, 'external IP': 60_000 };
const SIZES = '1000x5,10000x10,50000x5';
const ROUNDS = 500;
const PACED_SERVICES = 1000;
const PACED_ENDPOINTS = 10;

function annotated(algorithm: string): Partial<Service> {
  return { options: { algorithm } };
}

/** What the Services are that change at a fixed pace. */
const PACED = ['random', 'round-robin', 'source-hash', 'least-connections', 'power-of-two', 'maglev'];

interface Times {
  readonly totalMs: number;
  readonly kernelMs: number;
  /** Of the processor, the kernel's part of it included. */
  readonly cpuMs: number;
}

interface Result {
  readonly firstMs: number;
  readonly come: readonly Times[];
  readonly go: readonly Times[];
}

if (process.argv[2] === 'measure') {
  const [kind = '', among = '', services, endpoints] = process.argv.slice(3);
  const result = await measure(kind, among, Number(services), Number(endpoints));
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
} else if (process.argv[2] === 'paced') {
  const kinds = PACED.filter((kind) => kind !== process.argv[3]);
  const result = await measurePaced({
    services: PACED_SERVICES,
    endpoints: PACED_ENDPOINTS,
    changesPerSecond: 200,
    seconds: 15,
    service: (n) => ({ ...service(n), ...KINDS[kinds[n % kinds.length] ?? '']?.(n) }),
    isApart: (n) => kinds[n % kinds.length] === 'maglev',
  });
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
} else {
  await report(process.argv[2] ?? SIZES, process.argv[3] ?? Object.keys(KINDS).join());
}

async function measure(kind: string, among: string, services: number, endpoints: number): Promise<Result> {
  const make = (name: string, n: number): Service => ({ ...service(n), ...KINDS[name]?.(n) });
  const dataplane = openDataplane();
  const routing = filledTable(services, endpoints);
  const others = Math.min(services, MOST[among] ?? services);
  if (among !== 'plain')
    for (let n = 0; n < others; n++) routing.apply([{ type: 'upsert', object: make(among, n) }]);
  const sync = async (): Promise<Times> => {
    // To ask for the processor time takes up to a tenth of what is measured: outside of it.
    const cpu = process.cpuUsage();
    const started = performance.now();
    const { families } = await dataplane.sync(routing, routing.commit());
    const totalMs = performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    const kernelMs = families.reduce((sum, family) => sum + family.kernelMs, 0);
    return { totalMs, kernelMs, cpuMs: (user + system) / 1000 };
  };
  const { totalMs: firstMs } = await sync();
  // As the agent does.
  heap.compileSoon();
  await sleep(500);
  const come: Times[] = [];
  const go: Times[] = [];
  // The first rounds make chains that stay, and are not counted.
  for (let round = -10; round < ROUNDS; round++) {
    const n = services + 1 + (round & 7);
    const object = make(kind, n);
    routing.apply([
      { type: 'upsert', object },
      { type: 'upsert', object: slice(n, endpoints) },
    ]);
    const came = await sync();
    await sleep(1);
    routing.apply([{ type: 'delete', ref: object }]);
    const went = await sync();
    await sleep(1);
    if (round < 0) continue;
    come.push(came);
    go.push(went);
  }
  await dataplane.close();
  return { firstMs, come, go };
}

async function report(sizes: string, kinds: string): Promise<void> {
  const self = fileURLToPath(import.meta.url);
  const both = (list: readonly number[]) => `${median(list).toFixed(2)} / ${quantile(list, 0.99).toFixed(2)}`;
  const rows: (string | number)[][] = [];
  for (const size of sizes.split(',')) {
    const [services = '', endpoints = ''] = size.split('x');
    for (const kind of kinds.split(',')) {
      for (const among of kind === 'plain' ? ['plain'] : ['plain', kind]) {
        const { firstMs, come, go } = JSON.parse(
          await inNamespace(self, ['measure', kind, among, services, endpoints]),
        ) as Result;
        rows.push([
          `${size}, ${kind} among ${among}`,
          both(come.map(({ totalMs }) => totalMs)),
          both(come.map(({ kernelMs }) => kernelMs)),
          both(come.map(({ cpuMs }) => cpuMs)),
          both(go.map(({ totalMs }) => totalMs)),
          both(go.map(({ kernelMs }) => kernelMs)),
          both(go.map(({ cpuMs }) => cpuMs)),
          firstMs,
        ]);
        process.stderr.write(`${rows.at(-1)?.join('  ')}\n`);
      }
    }
  }
  process.stdout.write(
    table(
      ['p50 / p99, ms', 'new', 'kernel', 'processor', 'gone', 'kernel', 'processor', 'first sync, ms'],
      rows,
    ),
  );
  for (const without of ['', 'maglev']) {
    const paced = JSON.parse(await inNamespace(self, ['paced', without])) as Awaited<
      ReturnType<typeof measurePaced>
    >;
    const times = ({ p50, p99, most }: Latency) =>
      `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, latest ${most.toFixed(1)} ms`;
    const apart = without === '' ? `, those of maglev ${times(paced.apartMs)}` : '';
    process.stdout.write(
      `200 annotated changes a second at ${PACED_SERVICES} x ${PACED_ENDPOINTS}${without === '' ? '' : `, none of ${without}`}: ` +
        `${paced.changes} in ${paced.syncs} syncs, ${times(paced.latencyMs)}${apart}, ` +
        `${(paced.cpuShare * 100).toFixed(0)} % of a core\n`,
    );
  }
}

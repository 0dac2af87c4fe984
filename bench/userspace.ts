/**
 * npm run bench -- userspace [--quick] [--mode userspace|nftables|iptables] [--only …] [--topology three] …
 *
 * Mode userspace beside HAProxy, nginx stream and a direct connection. Each has a world of its own (a network namespace,
 * or three) with the same client and the same endpoints; a round measures all of them one after the other, and ratios are
 * taken within a round. Latency is measured at a share of what the reference (HAProxy) managed before, in the same run.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from './statistics.js';
import { CONTENDERS, type Contender, install, versionOf } from './userspaceProxies.js';
import { Samples } from './userspaceReport.js';
import {
  bulk,
  connectionLatency,
  connections,
  datagrams,
  datagramsOneWay,
  type Figures,
  idle,
  type RunSettings,
  requestLatency,
  requests,
} from './userspaceRuns.js';
import { World, type WorldSettings } from './userspaceWorld.js';

const KINDS = ['idle', 'connect', 'keepalive', 'bulk', 'udp', 'latency'] as const;
type Kind = (typeof KINDS)[number];

const IDLE_CONNECTIONS = 20_000;
const TOOLS = ['userspaceLoad', 'userspaceUdp', 'userspaceBackend'];
/** Two sockets, and HAProxy insists on descriptors for a pipe for every fourth connection. */
const DESCRIPTORS_PER_CONNECTION = 2.5;
/** Descriptors of a proxy that are no connections. */
const OTHER_DESCRIPTORS = 1000;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    mode: { type: 'string', default: 'userspace' },
    worlds: { type: 'string', default: CONTENDERS.join(',') },
    only: { type: 'string', default: KINDS.join(',') },
    rounds: { type: 'string' },
    ms: { type: 'string' },
    topology: { type: 'string', default: 'one' },
    conntrack: { type: 'string', default: 'on' },
    cpus: { type: 'string' },
    threads: { type: 'string' },
    'client-threads': { type: 'string', default: '1' },
    'backend-threads': { type: 'string', default: '1' },
    load: { type: 'string', default: '0.7' },
  },
});

const rounds = Number(options.rounds ?? (options.quick ? 3 : 5));
const kinds = chosen(options.only, KINDS);
const proxies = chosen(options.worlds, CONTENDERS);
const descriptors = descriptorLimit();
const idleConnections = Math.floor((descriptors - OTHER_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION);
const settings: WorldSettings = {
  mode: options.mode,
  topology: chosen(options.topology, ['one', 'three'] as const)[0] ?? 'one',
  conntrack: chosen(options.conntrack, ['on', 'off'] as const)[0] ?? 'on',
  cpus: options.cpus,
  threads: Number(options.threads ?? options.cpus?.split(',').length ?? availableParallelism()),
  connections: idleConnections,
  descriptors,
  backendThreads: Number(options['backend-threads']),
};

const folder = mkdtempSync(join(tmpdir(), 'penstock-userspace-'));
const run: RunSettings = {
  tools: folder,
  ms: Number(options.ms ?? (options.quick ? 350 : 1000)),
  clientThreads: Number(options['client-threads']),
};
const worlds: World[] = [];
const samples = new Samples();
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interrupted.abort(new Error(`${signal}: given up`)));
}

try {
  install(proxies);
  for (const tool of TOOLS) {
    const source = fileURLToPath(new URL(`../../bench/${tool}.c`, import.meta.url));
    execFileSync('cc', ['-O2', '-Wall', '-pthread', '-o', join(folder, tool), source]);
  }
  for (const proxy of proxies) {
    const world = new World(proxy, folder, settings);
    worlds.push(world);
    await world.build(folder, folder);
    interrupted.signal.throwIfAborted();
  }
  await measureAll();
  process.stdout.write(`${heading()}\n\n${samples.report(proxies)}`);
} finally {
  for (const world of worlds) world.end();
  rmSync(folder, { recursive: true });
}

async function measureAll(): Promise<void> {
  if (kinds.includes('idle')) {
    // Only once: memory that a proxy has had before hides what it needs.
    for (const world of worlds) {
      if (world.proxy !== 'direct') samples.add(world.proxy, await idle(world, run, idleConnections));
      interrupted.signal.throwIfAborted();
    }
  }
  await measure('connect', [(world) => connections(world, run)]);
  await measure('keepalive', [(world) => requests(world, run)]);
  await measure('bulk', [(world) => bulk(world, run, 1), (world) => bulk(world, run, 16)]);
  await measure('udp', [
    (world) => (world.proxy === 'haproxy' ? {} : datagrams(world, run)),
    (world) => (world.proxy === 'haproxy' ? {} : datagramsOneWay(world, run)),
  ]);
  if (!kinds.includes('latency')) return;
  const requestRate = rate('keep-alive requests/s', (world) => requests(world, run));
  const connectionRate = rate('new connections/s', (world) => connections(world, run));
  await measure('latency', [
    (world) => requestLatency(world, run, requestRate),
    (world) => connectionLatency(world, run, connectionRate),
  ]);
  process.stdout.write(
    `Latencies at ${requestRate} requests/s and ${connectionRate} connections/s, ${options.load} of what ${reference()} managed.\n`,
  );
}

/** Every run in every world, `rounds` times; each round begins with another world, so that none always comes after the same one. */
async function measure(kind: Kind, runs: readonly ((world: World) => Figures)[]): Promise<void> {
  if (!kinds.includes(kind)) return;
  for (const one of runs) {
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < worlds.length; i++) {
        const world = worlds[(round + i) % worlds.length];
        if (world) samples.add(world.proxy, one(world));
        await turn();
        interrupted.signal.throwIfAborted();
      }
    }
  }
}

function reference(): Contender {
  return proxies.find((proxy) => proxy === 'haproxy') ?? proxies.at(-1) ?? 'direct';
}

/** The share of the reference's most at which latency is measured; measured now when it was not yet. */
function rate(metric: string, run: (world: World) => Figures): number {
  const world = worlds.find(({ proxy }) => proxy === reference());
  const known = samples.of(metric, reference());
  const most = known.length > 0 || !world ? median(known) : (run(world)[metric] ?? Number.NaN);
  return Math.round(most * Number(options.load));
}

function heading(): string {
  const lines = [
    `${rounds} rounds of ${run.ms} ms; ${settings.threads} threads a proxy; topology ${settings.topology}; conntrack ${settings.conntrack}`,
    `${idleConnections} idle connections; open files: ${descriptors}`,
    ...proxies.map(versionOf).filter((text) => text !== ''),
    `penstock: mode ${settings.mode}`,
  ];
  return lines.join('\n');
}

/** Root may raise the hard limit, unless it may not. */
function descriptorLimit(): number {
  const wanted = IDLE_CONNECTIONS * DESCRIPTORS_PER_CONNECTION + OTHER_DESCRIPTORS;
  const script = `ulimit -n ${wanted} 2>/dev/null; ulimit -H -n`;
  const limit = execFileSync('sh', ['-c', script]).toString().trim();
  return limit === 'unlimited' ? wanted : Math.min(wanted, Number(limit));
}

function chosen<T extends string>(text: string, from: readonly T[]): readonly T[] {
  return text.split(',').map((word) => {
    const found = from.find((one) => one === word);
    if (found === undefined) throw new Error(`"${word}" is none of ${from.join(', ')}`);
    return found;
  });
}

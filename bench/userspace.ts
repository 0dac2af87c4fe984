/**
 * npm run bench -- userspace [--quick] [--mode userspace|nftables|iptables] [--only …] [--topology three] …
 * All options: bench/README.md.
 *
 * Mode userspace beside HAProxy, nginx stream and a direct connection. Each has a world of its own (a network namespace,
 * or three) with the same client and the same endpoints; a round measures all of them one after the other, and ratios are
 * taken within a round. Latency is measured last, with the client on a core of its own, at a share of what the reference
 * (HAProxy) manages there: a client that waits for a core behind the proxy would measure the scheduler.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from './parts/statistics.js';
import { CONTENDERS, FLOOR, install, USUAL, versionOf } from './userspace/userspaceProxies.js';
import { Samples } from './userspace/userspaceReport.js';
import {
  bulk,
  connectionLatency,
  connections,
  datagrams,
  datagramsOneWay,
  type Figures,
  idle,
  OTHERS,
  OTHERS_WITH_LATENCY,
  type RunSettings,
  requestLatency,
  requests,
} from './userspace/userspaceRuns.js';
import { World, type WorldSettings } from './userspace/userspaceWorld.js';

const KINDS = ['idle', 'connect', 'keepalive', 'bulk', 'udp', 'latency'] as const;

const IDLE_CONNECTIONS = 20_000;
const MOST_TRIES = 4;
const TOOLS = ['userspaceLoad', 'userspaceUdp', 'userspaceBackend', FLOOR];
/** Two sockets, and HAProxy insists on descriptors for a pipe for every fourth connection. */
const DESCRIPTORS_PER_CONNECTION = 2.5;
/** Descriptors of a proxy that are no connections. */
const OTHER_DESCRIPTORS = 1000;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    mode: { type: 'string', default: 'userspace' },
    worlds: { type: 'string', default: USUAL.join(',') },
    only: { type: 'string', default: KINDS.join(',') },
    rounds: { type: 'string' },
    ms: { type: 'string' },
    topology: { type: 'string', default: 'one' },
    conntrack: { type: 'string', default: 'on' },
    cpus: { type: 'string' },
    threads: { type: 'string' },
    haproxy: { type: 'string', default: 'listens' },
    'client-threads': { type: 'string', default: '1' },
    'backend-threads': { type: 'string', default: '1' },
    load: { type: 'string', default: '0.7' },
    calm: { type: 'string' },
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
  cores: { proxy: options.cpus },
  haproxy: chosen(options.haproxy, ['listens', 'redirected'] as const)[0] ?? 'listens',
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
const samples = new Samples();
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interrupted.abort(new Error(`${signal}: given up`)));
}

try {
  install(proxies);
  for (const tool of TOOLS) {
    const source = fileURLToPath(new URL(`../../bench/userspace/${tool}.c`, import.meta.url));
    execFileSync('cc', ['-O2', '-Wall', '-pthread', '-o', join(folder, tool), source]);
  }
  await withWorlds(settings, measureThroughput);
  if (kinds.includes('latency')) await withWorlds(apart(settings), measureLatency);
  process.stdout.write(`${heading()}\n\n${samples.report(proxies)}`);
} finally {
  rmSync(folder, { recursive: true });
}

async function withWorlds(
  settings: WorldSettings,
  measureThem: (worlds: readonly World[]) => Promise<void>,
): Promise<void> {
  const worlds: World[] = [];
  try {
    for (const proxy of proxies) {
      const world = new World(proxy, folder, settings);
      worlds.push(world);
      await world.build(folder, folder);
      interrupted.signal.throwIfAborted();
    }
    await measureThem(worlds);
  } finally {
    for (const world of worlds) world.end();
  }
}

async function measureThroughput(worlds: readonly World[]): Promise<void> {
  if (kinds.includes('idle')) {
    // Only once: memory that a proxy has had before hides what it needs.
    for (const world of worlds) {
      if (world.proxy !== 'direct') samples.add(world.proxy, await idle(world, run, idleConnections));
      interrupted.signal.throwIfAborted();
    }
  }
  if (kinds.includes('connect')) await measure(worlds, rounds, (world) => connections(world, run));
  if (kinds.includes('keepalive')) await measure(worlds, rounds, (world) => requests(world, run));
  if (kinds.includes('bulk')) {
    const able = worlds.filter(({ proxy }) => proxy !== 'floor');
    await measure(able, rounds, (world) => bulk(world, run, 1));
    await measure(able, rounds, (world) => bulk(world, run, 16));
  }
  if (kinds.includes('udp')) {
    const able = worlds.filter(({ proxy }) => proxy !== 'haproxy' && proxy !== 'floor');
    await measure(able, rounds, (world) => datagrams(world, run));
    await measure(able, rounds, (world) => datagramsOneWay(world, run));
  }
}

async function measureLatency(worlds: readonly World[]): Promise<void> {
  const reference = worlds.find(({ proxy }) => proxy === 'haproxy') ?? worlds.at(-1);
  if (!reference) return;
  const share = (metric: string, once: (world: World) => Figures) =>
    Math.round(
      Number(options.load) * median(Array.from({ length: 3 }, () => once(reference)[metric] ?? Number.NaN)),
    );
  const requestRate = share('keep-alive requests/s', (world) => requests(world, run));
  const connectionRate = share('new connections/s', (world) => connections(world, run));
  process.stdout.write(
    `Latencies at ${requestRate} requests/s and ${connectionRate} connections/s: ${options.load} of what ${reference.proxy} manages with the client on a core of its own.\n`,
  );
  // Percentiles need more rounds than sums do, and shorter ones are enough.
  const short = { ...run, ms: run.ms / 2 };
  await measure(worlds, rounds * 2, (world) => requestLatency(world, short, requestRate));
  await measure(worlds, rounds * 2, (world) => connectionLatency(world, short, connectionRate));
}

/** Each round begins with another world, so that none always comes after the same one. */
async function measure(
  worlds: readonly World[],
  rounds: number,
  once: (world: World) => Figures,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < worlds.length; i++) {
      const world = worlds[(round + i) % worlds.length];
      if (world)
        samples.add(
          world.proxy,
          calmest(() => once(world)),
        );
      await turn();
      interrupted.signal.throwIfAborted();
    }
  }
}

/** With --calm PERCENT: when others used more of the machine than that, the run is repeated, and the least disturbed counts. */
function calmest(once: () => Figures): Figures {
  const disturbance = (figures: Figures) => figures[OTHERS] ?? figures[OTHERS_WITH_LATENCY] ?? 0;
  let best = once();
  for (let tries = 1; tries < MOST_TRIES && disturbance(best) > Number(options.calm ?? 100); tries++) {
    const next = once();
    if (disturbance(next) < disturbance(best)) best = next;
  }
  return best;
}

/** The client on the first core, proxy and endpoints on the others. With one core nothing can be apart. */
function apart(settings: WorldSettings): WorldSettings {
  const cores = availableParallelism();
  if (cores === 1) return settings;
  const others = `1-${cores - 1}`;
  return { ...settings, threads: cores - 1, cores: { client: '0', proxy: others, backend: others } };
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

/** What is run against one world, and the figures that come out of it. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { busyMicroseconds, ownMicroseconds } from '../parts/processUsage.js';
import type { World } from './userspaceWorld.js';

export interface RunSettings {
  readonly tools: string;
  /** How long each run lasts. */
  readonly ms: number;
  readonly clientThreads: number;
}

/** By name of the metric. */
export type Figures = Readonly<Record<string, number>>;

interface LoadResult {
  readonly seconds: number;
  readonly done: number;
  readonly bytes: number;
  readonly failed: number;
  readonly unfinished: number;
  readonly error: string;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly late99: number;
}

/** How much of the machine was used by what has nothing to do with the run: whether its figures mean much. */
export const OTHERS = 'load of others, % of the machine';
/** The same while latencies were measured, which suffer first. */
export const OTHERS_WITH_LATENCY = 'load of others meanwhile, % of the machine';

/** Longer than this and the run is given up. */
const SPARE_MS = 10_000;
const SETTLE_MS = 500;
/** For all idle connections; ends as soon as they are open. */
const OPENING_MS = 120_000;

export function connections(world: World, settings: RunSettings): Figures {
  const { result, user, system, others } = load(world, settings, 'connect', ['connections=64']);
  return {
    'new connections/s': result.done / result.seconds,
    'proxy CPU, µs a connection': (user + system) / result.done,
    'of it in the kernel, µs': system / result.done,
    'connections failed': result.failed,
    ...others,
  };
}

export function requests(world: World, settings: RunSettings): Figures {
  const { result, user, system, others } = load(world, settings, 'keepalive', ['connections=64']);
  return {
    'keep-alive requests/s': result.done / result.seconds,
    'proxy CPU, µs a request': (user + system) / result.done,
    'requests failed': result.failed,
    ...others,
  };
}

export function bulk(world: World, settings: RunSettings, streams: number): Figures {
  const { result, user, system, others } = load(world, settings, 'bulk', [`connections=${streams}`]);
  const name = streams === 1 ? '1 stream' : `${streams} streams`;
  return {
    [`bulk, ${name}, MB/s`]: result.bytes / 1e6 / result.seconds,
    [`proxy CPU, ${name}, ms a GB`]: (user + system) / 1e3 / (result.bytes / 1e9),
    'streams broken': result.failed,
    ...others,
  };
}

/** `rate` in requests a second. */
export function requestLatency(world: World, settings: RunSettings, rate: number): Figures {
  const { result, others } = load(world, settings, 'keepalive', ['connections=256', `rate=${rate}`]);
  return {
    'request p50, µs': result.p50,
    'request p99, µs': result.p99,
    'of it the client’s own lateness, p99, µs': result.late99,
    'late requests unfinished': result.unfinished + result.failed,
    [OTHERS_WITH_LATENCY]: others[OTHERS],
  };
}

/** `rate` in connections a second; from when it was due to its end, with a request and a reply between. */
export function connectionLatency(world: World, settings: RunSettings, rate: number): Figures {
  const { result, others } = load(world, settings, 'connect', ['connections=1024', `rate=${rate}`]);
  return {
    'connection p50, µs': result.p50,
    'connection p99, µs': result.p99,
    'late connections unfinished': result.unfinished + result.failed,
    [OTHERS_WITH_LATENCY]: others[OTHERS],
  };
}

export function datagrams(world: World, settings: RunSettings): Figures {
  const { answered, seconds, lost, cpu, others } = udp(world, settings, 'echo');
  return {
    'UDP round trips/s': answered / seconds,
    'proxy CPU, µs a round trip': cpu / answered,
    'round trips lost': lost,
    ...others,
  };
}

export function datagramsOneWay(world: World, settings: RunSettings): Figures {
  const before = received(world);
  const { sent, seconds, cpu, others } = udp(world, settings, 'flood');
  const through = received(world) - before;
  return {
    'UDP one way/s, received': through / seconds,
    'UDP one way/s, sent': sent / seconds,
    'proxy CPU, µs a datagram': cpu / through,
    ...others,
  };
}

/** Opens connections that have served one request each, and looks at what they cost while nothing happens. */
export async function idle(world: World, settings: RunSettings, count: number): Promise<Figures> {
  const before = world.usage().residentBytes;
  const held = await world.hold([
    join(settings.tools, 'userspaceLoad'),
    'idle',
    `to=${world.tcp}`,
    `connections=${count}`,
    `ms=${OPENING_MS}`,
  ]);
  await sleep(SETTLE_MS);
  const { residentBytes } = world.usage();
  const { failed } = JSON.parse(held.output) as LoadResult;
  held.end();
  // The proxy still has the ends of all these connections to deal with.
  await sleep(SETTLE_MS);
  return {
    'memory, bytes an idle connection': (residentBytes - before) / count,
    'idle connections failed': failed,
  };
}

function load(
  world: World,
  { tools, ms, clientThreads }: RunSettings,
  mode: string,
  args: readonly string[],
) {
  const command = [
    join(tools, 'userspaceLoad'),
    mode,
    `to=${world.tcp}`,
    `ms=${ms}`,
    `threads=${clientThreads}`,
  ];
  const { output, user, system, others } = withUsage(world, () =>
    world.run([...command, ...args], ms + SPARE_MS),
  );
  const result = JSON.parse(output) as LoadResult;
  if (result.failed > 0)
    process.stderr.write(`${world.proxy}: ${mode}: ${result.failed} failed: ${result.error}\n`);
  return { result, user, system, others };
}

function udp(world: World, { tools, ms }: RunSettings, mode: 'echo' | 'flood') {
  const command = [join(tools, 'userspaceUdp'), mode, `to=${world.udp}`, `ms=${ms}`, 'flows=64', 'window=8'];
  const { output, user, system, others } = withUsage(world, () => world.run(command, ms + SPARE_MS));
  const result = JSON.parse(output) as { seconds: number; sent: number; answered: number; lost: number };
  if (mode === 'echo' && result.answered === 0) throw new Error(`${world.proxy}: udp: no datagram came back`);
  return { ...result, cpu: user + system, others };
}

function withUsage(world: World, run: () => string) {
  const look = () => ({
    at: performance.now(),
    proxy: world.usage(),
    ours: world.totalMicroseconds() + ownMicroseconds(),
    all: busyMicroseconds(),
  });
  const before = look();
  const output = run();
  const after = look();
  const machine = (after.at - before.at) * 1e3 * availableParallelism();
  return {
    output,
    user: after.proxy.userMicroseconds - before.proxy.userMicroseconds,
    system: after.proxy.systemMicroseconds - before.proxy.systemMicroseconds,
    others: {
      [OTHERS]: Math.max(0, (100 * (after.all - before.all - (after.ours - before.ours))) / machine),
    },
  };
}

function received(world: World): number {
  return Number(readFileSync(world.counter).readBigUInt64LE());
}

/**
 * npm run bench -- firstPacket [choice | flood [SYN a second]]
 *
 * What it costs that a thread of the agent has a connection's first packet (docs/first-packet.md), mode nftables, one node:
 * `choice`: new connections to a Service whose endpoints are chosen by least-connections beside one whose endpoints are drawn by lot, in
 * turns.
 * `flood`: 100,000 SYN a second, or as many as are asked for, to a Service that sleeps: what the agent's memory does, what a SYN costs, and
 * what connections to another Service notice, beside the same flood to a Service that refuses, one to an address whose packets the first
 * rule of the kernel drops, and none. Client, node and pods are network namespaces joined by veth.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { threadMicroseconds } from './parts/processUsage.js';
import { median, quantile, table } from './parts/statistics.js';

const PAIRS = 31;
const RUN_MS = 400;
const FLOOD_ROUNDS = 11;
const FLOODED = ['nothing', 'dropped', 'refuses', 'asleep'] as const;
const PODS = [2, 3, 4, 5].map((last) => `10.200.0.${last}`);
const VIPS = {
  lot: '172.30.0.11',
  chosen: '172.30.0.12',
  asleep: '172.30.0.13',
  refuses: '172.30.0.14',
  dropped: '172.30.0.15',
} as const;
const PENSTOCK = fileURLToPath(new URL('../../bin/penstock', import.meta.url));

interface Connects {
  readonly perSecond: number;
  readonly failed: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly done: number;
  /** Processor time of the client, in microseconds. */
  readonly cpu: number;
}

interface Costing extends Connects {
  /** Processor time of all for a connection, in microseconds. */
  readonly each: number;
}

interface Flood {
  readonly sent: number;
  readonly ms: number;
  /** Processor time of the sender, in whose name the kernel does all but what the agent does, in microseconds. */
  readonly cpu: number;
}

interface Flooded {
  /** Connects to another Service, to those beside a flood that is dropped. */
  readonly ratios: number[];
  readonly sent: number[];
  readonly sender: number[];
  readonly agent: number[];
}

const folder = mkdtempSync(join(tmpdir(), 'penstock-first-packet-'));
const processes: ChildProcess[] = [];
const sh = (script: string) =>
  execFileSync('sh', ['-ec', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const [C, N, P] = ['pq-client', 'pq-node', 'pq-pods'];

const [asked = '', rate = '100000'] = process.argv.slice(2);
const perSecond = Number(rate);
try {
  await build();
  const agent = await startAgent();
  if (asked !== 'flood') await measureChoice([agent.pid as number, processes[0]?.pid as number]);
  if (asked !== 'choice') await measureFlood(agent);
} finally {
  for (const child of processes) child.kill('SIGKILL');
  for (const ns of [C, N, P]) sh(`ip netns del ${ns} 2>/dev/null || true`);
  rmSync(folder, { recursive: true });
}

/** `pids`: whose processor time a connection costs besides the client's. The kernel's part of it is done in their name. */
async function measureChoice(pids: readonly number[]): Promise<void> {
  const used = () => pids.reduce((sum, pid) => sum + threadMicroseconds(pid), 0);
  const costing = async (address: string, atOnce: number) => {
    const before = used();
    const found = await connects(address, atOnce);
    return { ...found, each: (used() - before + found.cpu) / found.done };
  };
  const rows: (string | number)[][] = [];
  for (const atOnce of [1, 16]) {
    const ratios: number[] = [];
    const [lot, chosen]: [Costing[], Costing[]] = [[], []];
    for (let i = 0; i < PAIRS; i++) {
      const first = await costing(i % 2 === 0 ? VIPS.lot : VIPS.chosen, atOnce);
      const second = await costing(i % 2 === 0 ? VIPS.chosen : VIPS.lot, atOnce);
      const [byLot, byChoice] = i % 2 === 0 ? [first, second] : [second, first];
      lot.push(byLot);
      chosen.push(byChoice);
      ratios.push(byChoice.perSecond / byLot.perSecond);
    }
    const of = (list: readonly Costing[], what: 'p50' | 'p99' | 'each') =>
      median(list.map((each) => each[what]));
    rows.push([
      `${atOnce} at a time`,
      atOnce === 1 ? '0.80' : '0.95',
      median(ratios),
      Math.min(...ratios),
      Math.max(...ratios),
      of(lot, 'p50'),
      of(chosen, 'p50'),
      of(lot, 'p99'),
      of(chosen, 'p99'),
      of(lot, 'each'),
      of(chosen, 'each'),
    ]);
  }
  const decided = metric('penstock_choice_decided_total');
  if (!(decided > 0)) throw new Error('nothing was chosen: does this kernel have nfnetlink_queue?');
  const header = ['new connections, chosen to by lot', 'limit', 'ratio', 'least', 'most'];
  const times = ['p50 by lot, µs', 'p50 chosen', 'p99 by lot', 'p99 chosen', 'CPU by lot, µs', 'CPU chosen'];
  process.stdout.write(
    `${PAIRS} pairs of ${RUN_MS} ms, ${decided} chosen\n\n${table([...header, ...times], rows)}\n`,
  );
}

async function measureFlood(agent: ChildProcess): Promise<void> {
  const pid = agent.pid as number;
  const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  const before = memory();
  let most = before;
  let waiting = 0;
  const found = new Map(
    FLOODED.map((target) => [target, { ratios: [], sent: [], sender: [], agent: [] } as Flooded]),
  );
  const flood = (address: string, ms: number) =>
    tool('synFlood', ['10.202.1.0', address, '80', String(perSecond), String(ms)]) as Promise<Flood>;
  for (let round = 0; round < FLOOD_ROUNDS; round++) {
    const rates = new Map<(typeof FLOODED)[number], number>();
    for (const i of FLOODED.keys()) {
      const target = FLOODED[(i + round) % FLOODED.length] as (typeof FLOODED)[number];
      const own = found.get(target) as Flooded;
      if (target !== 'nothing') {
        const used = threadMicroseconds(pid);
        const alone = await flood(VIPS[target], RUN_MS);
        own.sender.push(alone.cpu / alone.sent);
        own.agent.push((threadMicroseconds(pid) - used) / alone.sent);
      }
      const flooding = target === 'nothing' ? undefined : flood(VIPS[target], 2 * RUN_MS);
      await sleep(RUN_MS / 2);
      rates.set(target, (await connects(VIPS.lot, 1)).perSecond);
      const result = await flooding;
      if (result) own.sent.push((result.sent / result.ms) * 1000);
      if (target === 'asleep') waiting = Math.max(waiting, metric('penstock_wake_waiting_packets'));
      most = Math.max(most, memory());
    }
    for (const [target, rate] of rates) found.get(target)?.ratios.push(rate / (rates.get('dropped') ?? 0));
  }
  const of = (list: readonly number[]) => (list.length === 0 ? '' : median(list));
  const rows = [...found].map(([target, { ratios, sent, sender, agent }]) => [
    target,
    of(sent),
    of(sender),
    of(agent),
    median(ratios),
    quantile(ratios, 0.25),
    quantile(ratios, 0.75),
  ]);
  const header = ['flood of a Service that …', 'SYN/s', 'sender, CPU of a SYN, µs', 'agent'];
  const text = table([...header, 'connects to another, to dropped', 'first quarter', 'last'], rows);
  process.stdout.write(
    `${FLOOD_ROUNDS} rounds of ${perSecond} SYN/s; at most ${waiting} packets wait (1024); the agent has ${before.toFixed(1)} MiB before, ${most.toFixed(1)} at most\n\n${text}`,
  );
}

function service(
  name: string,
  clusterIP: string,
  annotations: Readonly<Record<string, string>> = {},
): object {
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
  const metadata = { name, namespace: 'shop', annotations };
  return { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP, ports } };
}

function slice(name: string): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: PODS.map((address) => ({
      addresses: [address],
      conditions: { ready: true },
      nodeName: 'node-0',
    })),
  };
}

async function build(): Promise<void> {
  for (const name of ['connect', 'synFlood'])
    sh(
      `cc -O2 -o ${join(folder, name)} ${fileURLToPath(new URL(`../../bench/traffic/${name}.c`, import.meta.url))}`,
    );
  sh(`
    for ns in ${C} ${N} ${P}; do ip netns add $ns; ip -n $ns link set lo up; done
    ip -n ${C} link add name eth0 type veth peer name client netns ${N}
    ip -n ${P} link add name eth0 type veth peer name pod netns ${N}
    ip -n ${C} addr add 10.201.0.2/24 dev eth0; ip -n ${C} link set eth0 up
    ip -n ${C} addr add 10.202.0.0/16 dev lo
    ip -n ${N} addr add 10.201.0.1/24 dev client; ip -n ${N} link set client up
    ${PODS.map((pod) => `ip -n ${P} addr add ${pod}/24 dev eth0`).join('; ')}; ip -n ${P} link set eth0 up
    ip -n ${N} addr add 10.200.0.1/24 dev pod; ip -n ${N} link set pod up
    ip -n ${N} route add 10.202.0.0/16 via 10.201.0.2
    ip -n ${C} route add default via 10.201.0.1; ip -n ${P} route add default via 10.200.0.1
    ip netns exec ${N} sysctl -qw net.ipv4.ip_forward=1
  `);
  const server = spawn('ip', ['netns', 'exec', P as string, join(folder, 'connect'), 'server', '8080'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  processes.push(server);
  await once(server.stdout, 'data');
}

async function startAgent(): Promise<ChildProcess> {
  const objects = [
    service('lot', VIPS.lot),
    slice('lot'),
    service('chosen', VIPS.chosen, { 'penstock.io/algorithm': 'least-connections' }),
    slice('chosen'),
    service('asleep', VIPS.asleep, { 'penstock.io/wake': 'hold', 'penstock.io/wake-timeout': '10m' }),
    service('refuses', VIPS.refuses),
  ];
  sh(
    `ip netns exec ${N} nft 'add table ip bench; add chain ip bench first { type filter hook prerouting priority -120; }; add rule ip bench first ip daddr ${VIPS.dropped} drop'`,
  );
  sh(`mkdir ${join(folder, 'manifests')}`);
  writeFileSync(
    join(folder, 'manifests/objects.json'),
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  );
  const config = join(folder, 'config.yaml');
  writeFileSync(
    config,
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nhostnameOverride: node-0\n' +
      'clusterCIDR: 10.0.0.0/8\nhealthzBindAddress: 127.0.0.1:10256\nmetricsBindAddress: 127.0.0.1:10249\n' +
      'conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}\n',
  );
  const words = [
    `--net=/run/netns/${N}`,
    PENSTOCK,
    'run',
    '--config',
    config,
    '--manifests',
    join(folder, 'manifests'),
  ];
  const agent = spawn('nsenter', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  processes.push(agent);
  const ready = `ip netns exec ${N} curl -sf http://127.0.0.1:10256/readyz >/dev/null 2>&1`;
  sh(`for i in $(seq 600); do ${ready} && exit 0; sleep 0.1; done; exit 1`);
  return agent;
}

function metric(name: string): number {
  const text = sh(`ip netns exec ${N} curl -sf http://127.0.0.1:10249/metrics`);
  let sum = 0;
  for (const line of text.split('\n'))
    if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.split(' ').at(-1));
  return sum;
}

async function connects(address: string, atOnce: number): Promise<Connects> {
  const found = (await tool('connect', [
    'client',
    address,
    '80',
    String(RUN_MS),
    String(atOnce),
  ])) as Connects;
  if (found.failed > 0) throw new Error(`${address}: ${found.failed} connections failed`);
  return found;
}

async function tool(name: string, words: readonly string[]): Promise<unknown> {
  const child = spawn('ip', ['netns', 'exec', C as string, join(folder, name), ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const [status] = (await once(child, 'close')) as [number];
  if (status !== 0) throw new Error(`${name} ended with status ${status}`);
  return JSON.parse(text);
}

/**
 * npm run bench -- flood
 *
 * 50,000 first packets a second for a Service without endpoints, mode nftables: all are refused. What the agent takes of a core
 * meanwhile, in rounds beside rounds without a flood, and what new connections to another Service notice of it that refusals are told
 * of: beside a node with the same rules from which the log statements were taken, in many short turns. Client, node and pod of each
 * world are network namespaces joined by veth.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ownMicroseconds, threadMicroseconds } from './parts/processUsage.js';
import { median, quantile, table } from './parts/statistics.js';

const PER_SECOND = 50_000;
const PAIRS = 40;
const RUN_MS = 500;
const WORK_MS = 300;
const AGENT_ROUNDS = 5;
const AGENT_MS = 5000;
/** Until an agent has given back what its start alone needed, and V8 has collected twice more, which takes it a tenth of a second. */
const SETTLED_MS = 20_000;
const POD = '10.200.0.2';
const EMPTY = '172.30.0.11';
const LIVE = '172.30.0.12';
const PENSTOCK = fileURLToPath(new URL('../../bin/penstock', import.meta.url));
const WORLDS = ['told', 'silent'] as const;
type World = (typeof WORLDS)[number];

const OBJECTS = [
  service('empty', EMPTY),
  service('live', LIVE),
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'live-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'live' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: [POD], conditions: { ready: true }, nodeName: 'node-0' }],
  },
];

/** What was measured in both worlds, in turns. */
class Pairs implements Record<World, number[]> {
  readonly told: number[] = [];
  readonly silent: number[] = [];

  row(name: string): (string | number)[] {
    const ratios = this.told.map((value, i) => value / (this.silent[i] ?? Number.NaN));
    const quartiles = [0.25, 0.75].map((q) => quantile(ratios, q).toFixed(3)).join(' to ');
    return [name, median(this.told), median(this.silent), median(ratios).toFixed(3), quartiles];
  }
}

const folder = mkdtempSync(join(tmpdir(), 'penstock-flood-'));
const processes: ChildProcess[] = [];
const servers = new Map<World, number>();
const sh = (script: string) =>
  execFileSync('sh', ['-ec', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const inside = (world: World, role: 'c' | 'n' | 'p') => `pf-${role}-${world}`;

try {
  for (const tool of ['connect', 'synFlood'])
    sh(
      `cc -O2 -o ${join(folder, tool)} ${fileURLToPath(new URL(`../../bench/traffic/${tool}.c`, import.meta.url))}`,
    );
  for (const world of WORLDS) await build(world);
  const agent = await startAgent('told');
  const other = await startAgent('silent');
  other.kill('SIGKILL');
  await once(other, 'close');
  const removed = removeLogs('silent');
  await sleep(SETTLED_MS);
  const refusedBefore = answers();
  const idle: number[] = [];
  const flooded: number[] = [];
  const sent: number[] = [];
  for (let round = 0; round < AGENT_ROUNDS; round++) {
    idle.push((await share(agent, async () => sleep(AGENT_MS))).share);
    const { share: taken, result } = await share(agent, () => flood('told', AGENT_MS));
    flooded.push(taken);
    sent.push(result);
  }
  const refused = answers() - refusedBefore;
  const [calm, rates, work] = [new Pairs(), new Pairs(), new Pairs()];
  const [calmWork, floodWork] = [new Pairs(), new Pairs()];
  for (let round = 0; round < PAIRS; round++) {
    for (const world of round % 2 === 0 ? WORLDS : [...WORLDS].reverse()) {
      const without = await connects(world);
      calm[world].push(without.perSecond);
      calmWork[world].push(without.microseconds);
      const [beside] = await Promise.all([connects(world), flood(world, RUN_MS)]);
      rates[world].push(beside.perSecond);
      floodWork[world].push(beside.microseconds);
      work[world].push(packetWork(world));
    }
  }
  process.stdout.write(
    `the agent, ${AGENT_ROUNDS} rounds of ${AGENT_MS / 1000} s: ${flooded.map(percent).join(', ')} of a core at ${median(sent).toFixed(0)} SYNs a second, ` +
      `median ${percent(median(flooded))}; ${idle.map(percent).join(', ')} when idle, median ${percent(median(idle))}; ${refused} were refused; ` +
      `${removed} log rules taken from the other node\n\n` +
      table(
        [`medians of ${PAIRS} pairs`, 'refusals told', 'no log rules', 'ratio', 'quartiles'],
        [
          calm.row('connections/s to another Service, no flood'),
          rates.row('the same, flood'),
          calmWork.row('processor time of client and server, µs, no flood'),
          floodWork.row('the same, flood'),
          work.row('processor time of a SYN, from sender to reset, ns'),
        ],
      ),
  );
} finally {
  for (const child of processes) child.kill('SIGKILL');
  for (const world of WORLDS)
    for (const role of ['c', 'n', 'p'] as const)
      sh(`ip netns del ${inside(world, role)} 2>/dev/null || true`);
  rmSync(folder, { recursive: true });
}

function percent(part: number): string {
  return `${(part * 100).toFixed(2)} %`;
}

function service(name: string, clusterIP: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  };
}

async function build(world: World): Promise<void> {
  const [c, n, p] = [inside(world, 'c'), inside(world, 'n'), inside(world, 'p')];
  sh(`
    for ns in ${c} ${n} ${p}; do ip netns add $ns; ip -n $ns link set lo up; done
    ip -n ${c} link add name eth0 type veth peer name client netns ${n}
    ip -n ${p} link add name eth0 type veth peer name pod netns ${n}
    ip -n ${c} addr add 10.201.0.2/24 dev eth0; ip -n ${c} link set eth0 up
    ip -n ${c} addr add 10.202.0.0/16 dev lo
    ip -n ${n} addr add 10.201.0.1/24 dev client; ip -n ${n} link set client up
    ip -n ${p} addr add ${POD}/24 dev eth0; ip -n ${p} link set eth0 up
    ip -n ${n} addr add 10.200.0.1/24 dev pod; ip -n ${n} link set pod up
    ip -n ${n} route add 10.202.0.0/16 via 10.201.0.2
    ip -n ${c} route add default via 10.201.0.1; ip -n ${p} route add default via 10.200.0.1
    ip netns exec ${n} sysctl -qw net.ipv4.ip_forward=1
  `);
  const server = spawn('ip', ['netns', 'exec', p, join(folder, 'connect'), 'server', '8080'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  processes.push(server);
  servers.set(world, server.pid ?? 0);
  await once(server.stdout, 'data');
}

async function startAgent(world: World): Promise<ChildProcess> {
  const manifests = join(folder, world);
  mkdirSync(manifests);
  writeFileSync(
    join(manifests, 'objects.json'),
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: OBJECTS }),
  );
  const config = join(folder, `${world}.yaml`);
  writeFileSync(
    config,
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nhostnameOverride: node-0\n' +
      'clusterCIDR: 10.0.0.0/8\nhealthzBindAddress: 127.0.0.1:10256\n' +
      'conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}\n',
  );
  // No `ip netns exec`: it is the agent whose processor time counts.
  const words = [
    `--net=/run/netns/${inside(world, 'n')}`,
    PENSTOCK,
    'run',
    '--config',
    config,
    '--manifests',
    manifests,
  ];
  const agent = spawn('nsenter', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  processes.push(agent);
  const ready = `ip netns exec ${inside(world, 'n')} curl -sf http://127.0.0.1:10256/readyz >/dev/null 2>&1`;
  sh(`for i in $(seq 600); do ${ready} && exit 0; sleep 0.1; done; exit 1`);
  return agent;
}

/** Returns how many rules there were. */
function removeLogs(world: World): number {
  let removed = 0;
  for (const family of ['ip', 'ip6']) {
    const under = `ip netns exec ${inside(world, 'n')} nft`;
    let chain = '';
    for (const line of sh(`${under} -a list table ${family} penstock`).split('\n')) {
      chain = /^\tchain (\S+) /.exec(line)?.[1] ?? chain;
      const handle = / log prefix .* # handle (\d+)$/.exec(line)?.[1];
      if (handle === undefined) continue;
      sh(`${under} delete rule ${family} penstock ${chain} handle ${handle}`);
      removed++;
    }
  }
  return removed;
}

/** What a process takes of a core while something else happens. */
async function share<Result>(
  { pid = 0 }: ChildProcess,
  work: () => Promise<Result>,
): Promise<{ readonly share: number; readonly result: Result }> {
  const [start, before] = [performance.now(), threadMicroseconds(pid)];
  const result = await work();
  return { share: (threadMicroseconds(pid) - before) / (performance.now() - start) / 1000, result };
}

/** Segments that came back to the client: resets, while nothing else is under way. */
function answers(): number {
  const snmp = sh(`ip netns exec ${inside('told', 'c')} cat /proc/net/snmp`);
  const [names = '', values = ''] = snmp.split('\n').filter((line) => line.startsWith('Tcp:'));
  return Number(values.split(' ')[names.split(' ').indexOf('InSegs')] ?? 0);
}

/** Resolves with the packets a second that were sent. */
async function flood(world: World, ms: number): Promise<number> {
  const words = ['10.202.1.0', EMPTY, '80', String(PER_SECOND), String(ms)];
  const { sent, ms: took } = (await tool(world, 'synFlood', words)) as { sent: number; ms: number };
  return (sent / took) * 1000;
}

/**
 * Nanoseconds of processor time for one SYN: the sender's own, in which the kernel takes it through the node and back. Where others want
 * the processor too this says more than rates do.
 */
function packetWork(world: World): number {
  const before = ownMicroseconds();
  const words = ['10.202.1.0', EMPTY, '80', '10000000', String(WORK_MS)];
  const under = ['netns', 'exec', inside(world, 'c'), join(folder, 'synFlood'), ...words];
  const { sent } = JSON.parse(execFileSync('ip', under, { encoding: 'utf8' })) as { sent: number };
  return ((ownMicroseconds() - before) * 1000) / sent;
}

/** `microseconds`: processor time of client and server for one connection. */
async function connects(
  world: World,
): Promise<{ readonly perSecond: number; readonly microseconds: number }> {
  const served = () => threadMicroseconds(servers.get(world) ?? 0);
  const before = served();
  const found = await tool(world, 'connect', ['client', LIVE, '80', String(RUN_MS)]);
  const { perSecond, failed, done, cpu } = found as Record<'perSecond' | 'failed' | 'done' | 'cpu', number>;
  if (failed > 0) throw new Error(`${world}: ${failed} connections failed`);
  return { perSecond, microseconds: (cpu + served() - before) / done };
}

async function tool(world: World, name: string, words: readonly string[]): Promise<unknown> {
  const child = spawn('ip', ['netns', 'exec', inside(world, 'c'), join(folder, name), ...words], {
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

/**
 * npm run bench -- connects
 *
 * New connections per second through a cluster IP, as a ratio to connecting to the pod's own address with connection
 * tracking on. Client, node and pod are network namespaces joined by veth; one client, one connection after the other.
 * Each world has its own node: `direct` (connection tracking, nothing else), and one for each mode and number of
 * services. A round measures all of them one after the other; the ratios of a round are to its own direct run.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { IpAddress } from '../src/net/ip.js';
import { rawObjects, rawSlice, service, slice } from './objects.js';
import { median, table } from './parts/statistics.js';

const ROUNDS = 12;
const RUN_MS = 1000;
const ENDPOINTS = 5;
const POD = '10.200.0.2' as IpAddress;
const PORT = 8080;
const PENSTOCK = fileURLToPath(new URL('../../bin/penstock', import.meta.url));

interface World {
  readonly name: string;
  readonly mode: 'none' | 'nftables' | 'iptables';
  readonly services: number;
  readonly counters?: false;
}

const WORLDS: readonly World[] = [
  { name: 'direct', mode: 'none', services: 0 },
  { name: 'nftables, 10 services', mode: 'nftables', services: 10 },
  { name: 'nftables, 10,000 services', mode: 'nftables', services: 10_000 },
  { name: 'the same without counters', mode: 'nftables', services: 10_000, counters: false },
  { name: 'nftables, 50,000 services', mode: 'nftables', services: 50_000 },
  { name: 'iptables, 10 services', mode: 'iptables', services: 10 },
  { name: 'iptables, 5,000 services', mode: 'iptables', services: 5000 },
];

const folder = mkdtempSync(join(tmpdir(), 'penstock-connects-'));
const tool = join(folder, 'connect');
const processes: ChildProcess[] = [];
const sh = (script: string) => execFileSync('sh', ['-ec', script], { stdio: ['ignore', 'pipe', 'inherit'] });

try {
  execFileSync('cc', [
    '-O2',
    '-o',
    tool,
    fileURLToPath(new URL('../../bench/traffic/connect.c', import.meta.url)),
  ]);
  for (const [index, world] of WORLDS.entries()) await build(index, world);
  const rates = WORLDS.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    // Each round begins with another world, so that none always comes after the same one.
    for (let i = 0; i < WORLDS.length; i++) {
      const index = (round + i) % WORLDS.length;
      rates[index]?.push(measure(index));
    }
  }
  const [direct = []] = rates;
  const rows = WORLDS.map(({ name }, index) => {
    const own = rates[index] ?? [];
    const ratios = own.map((rate, round) => rate / (direct[round] ?? Number.NaN));
    return [name, median(own), median(ratios), Math.min(...ratios), Math.max(...ratios)];
  });
  const header = ['', 'connections/s, median', 'ratio to direct, median', 'least', 'most'];
  process.stdout.write(`${ROUNDS} rounds of ${RUN_MS} ms\n\n${table(header, rows)}`);
} finally {
  for (const child of processes) child.kill('SIGKILL');
  for (const index of WORLDS.keys()) {
    for (const role of ['c', 'n', 'p']) sh(`ip netns del pb-${role}${index} 2>/dev/null || true`);
  }
  rmSync(folder, { recursive: true });
}

async function build(index: number, world: World): Promise<void> {
  const [c, n, p] = [`pb-c${index}`, `pb-n${index}`, `pb-p${index}`];
  sh(`
    for ns in ${c} ${n} ${p}; do ip netns add $ns; ip -n $ns link set lo up; done
    ip -n ${c} link add name eth0 type veth peer name client netns ${n}
    ip -n ${p} link add name eth0 type veth peer name pod netns ${n}
    ip -n ${c} addr add 10.201.0.2/24 dev eth0; ip -n ${c} link set eth0 up
    ip -n ${n} addr add 10.201.0.1/24 dev client; ip -n ${n} link set client up
    ip -n ${p} addr add ${POD}/24 dev eth0; ip -n ${p} link set eth0 up
    ip -n ${n} addr add 10.200.0.1/24 dev pod; ip -n ${n} link set pod up
    ip -n ${c} route add default via 10.201.0.1; ip -n ${p} route add default via 10.200.0.1
    ip netns exec ${n} sysctl -qw net.ipv4.ip_forward=1
  `);
  const server = spawn('ip', ['netns', 'exec', p, tool, 'server', String(PORT)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  processes.push(server);
  await new Promise((resolve) => server.stdout.once('data', resolve));
  if (world.mode === 'none')
    sh(
      `ip netns exec ${n} nft 'add table ip track; add chain ip track f { type filter hook forward priority 0; ct state invalid drop; }'`,
    );
  else await startAgent(n, world, index);
}

/** The agent ends before anything is measured: what counts is what it left in the kernel. */
async function startAgent(
  namespace: string,
  { mode, services, counters }: World,
  index: number,
): Promise<void> {
  const manifests = join(folder, `manifests-${index}`);
  const objects = rawObjects(services, ENDPOINTS);
  // The last service is the one that is connected to; its only endpoint is the pod.
  const last = services - 1;
  const base = slice(last, 1);
  const [endpoint] = base.endpoints;
  const live = rawSlice({ ...base, endpoints: endpoint ? [{ ...endpoint, address: POD }] : [] });
  sh(`mkdir ${manifests}`);
  writeFileSync(
    join(manifests, 'objects.json'),
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [...objects.slice(0, -1), live] }),
  );
  const config = join(folder, `config-${index}.yaml`);
  writeFileSync(
    config,
    `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ${mode}\nhostnameOverride: node-0\nclusterCIDR: 10.0.0.0/8\nhealthzBindAddress: 127.0.0.1:10256\nconntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}\npenstock: {serviceCounters: ${counters ?? true}}\n`,
  );
  const agent = spawn(
    'ip',
    ['netns', 'exec', namespace, PENSTOCK, 'run', '--config', config, '--manifests', manifests],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const ready = `ip netns exec ${namespace} curl -sf http://127.0.0.1:10256/readyz`;
  for (let tries = 0; tries < 1200; tries++) {
    await sleep(100);
    try {
      sh(ready);
      break;
    } catch {
      // Not yet.
    }
  }
  agent.kill('SIGTERM');
  await new Promise((resolve) => agent.once('close', resolve));
}

function measure(index: number): number {
  const world = WORLDS[index];
  const [ip, port] =
    world?.mode === 'none' ? [POD, PORT] : [service((world?.services ?? 1) - 1).clusterIPs.IPv4, 80];
  const output = execFileSync('ip', [
    'netns',
    'exec',
    `pb-c${index}`,
    tool,
    'client',
    String(ip),
    String(port),
    String(RUN_MS),
  ]);
  const { perSecond, failed } = JSON.parse(output.toString()) as { perSecond: number; failed: number };
  if (failed > 0) throw new Error(`${world?.name}: ${failed} connections failed`);
  return perSecond;
}

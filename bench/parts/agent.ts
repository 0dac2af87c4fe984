/** `penstock run` as users run it, with one service whose endpoint really answers. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { IpAddress } from '../../src/net/ip.js';
import { rawObjects, rawSlice, service, slice } from '../objects.js';

const PENSTOCK = fileURLToPath(new URL('../../../bin/penstock', import.meta.url));
const LIVE_ADDRESSES = ['10.200.0.1', '10.200.0.2'] as IpAddress[];
const CHANGES = 10;
const TICKS_PER_SECOND = 100;

export interface AgentResult {
  readonly readyMs: number;
  readonly rssMb: number;
  readonly peakMb: number;
  readonly cpuSelfS: number;
  readonly cpuToolsS: number;
  readonly endToEndMs: readonly number[];
  readonly cpuPerChangeS: number;
}

const config = (mode: string) => `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${mode}
hostnameOverride: node-0
clusterCIDR: 10.0.0.0/8
healthzBindAddress: 127.0.0.1:10256
iptables: {minSyncPeriod: 0s}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`;

export async function measureAgent(
  mode: 'iptables' | 'nftables',
  services: number,
  endpoints: number,
): Promise<AgentResult> {
  for (const command of [
    'link set lo up',
    'route add default dev lo',
    ...LIVE_ADDRESSES.map((ip) => `addr add ${ip}/32 dev lo`),
  ]) {
    execFileSync('ip', command.split(' '));
  }
  const folder = mkdtempSync(join(tmpdir(), 'penstock-bench-'));
  const live = liveManifest(folder);
  const objects = rawObjects(services, endpoints).slice(2);
  writeFileSync(
    join(folder, 'objects.json'),
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  );
  live(0);
  writeFileSync(join(folder, '..', 'penstock-bench-config.yaml'), config(mode));
  const server = createServer((socket) => socket.end(String(socket.localAddress)));
  await new Promise<void>((resolve) => server.listen(8080, '0.0.0.0', resolve));

  const start = performance.now();
  const args = ['run', '--config', join(folder, '..', 'penstock-bench-config.yaml'), '--manifests', folder];
  const agent = spawn(PENSTOCK, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    await ready(agent);
    const readyMs = performance.now() - start;
    const [cpuSelfS, cpuToolsS] = cpu(agent);
    const endToEndMs: number[] = [];
    for (let i = 1; i <= CHANGES; i++) {
      // Longer than minSyncPeriod, which would else be what is measured.
      await sleep(1200);
      const edited = performance.now();
      live(i % 2);
      while ((await answer()) !== LIVE_ADDRESSES[i % 2]) await sleep(1);
      endToEndMs.push(performance.now() - edited);
    }
    await sleep(2500);
    const [selfAfter, toolsAfter] = cpu(agent);
    return {
      readyMs,
      rssMb: memory(agent, 'VmRSS'),
      peakMb: memory(agent, 'VmHWM'),
      cpuSelfS,
      cpuToolsS,
      endToEndMs,
      cpuPerChangeS: (selfAfter + toolsAfter - cpuSelfS - cpuToolsS) / CHANGES,
    };
  } finally {
    agent.kill('SIGTERM');
    server.close();
    rmSync(folder, { recursive: true });
  }
}

/** Writes the manifest of service 0 so that it has the given one of the live addresses. */
function liveManifest(folder: string): (index: number) => void {
  const [rawService] = rawObjects(1, 1);
  return (index) => {
    const base = slice(0, 1);
    const [first] = base.endpoints;
    const endpoints = first ? [{ ...first, address: LIVE_ADDRESSES[index] as IpAddress }] : [];
    const items = [rawService, rawSlice({ ...base, endpoints })];
    writeFileSync(join(folder, '.live'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    renameSync(join(folder, '.live'), join(folder, 'live.json'));
  };
}

/** One connection to the cluster IP of service 0: the address that answered. */
function answer(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: service(0).clusterIPs.IPv4 as string, port: 80, timeout: 200 });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('timeout', () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}

async function ready(agent: ChildProcess): Promise<void> {
  for (;;) {
    if (agent.exitCode !== null) throw new Error(`the agent ended with ${agent.exitCode}`);
    const status = await new Promise<number>((resolve) => {
      get('http://127.0.0.1:10256/readyz', (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      }).on('error', () => resolve(0));
    });
    if (status === 200) return;
    await sleep(10);
  }
}

/** Seconds of CPU: of the process itself, and of the tools it started. */
function cpu({ pid }: ChildProcess): [self: number, tools: number] {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ').map(Number) ?? [];
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
  return [(user + system) / TICKS_PER_SECOND, (childUser + childSystem) / TICKS_PER_SECOND];
}

function memory({ pid }: ChildProcess, field: string): number {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`${field}:\\s+(\\d+)`));
  return Number(line?.[1]) / 1024;
}

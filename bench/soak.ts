/**
 * npm run bench -- soak [--mode nftables|userspace|iptables] [--minutes 20]
 *
 * One agent and an API server that is often away, in a network namespace: Services change twenty times a second, the server's
 * connections break, the server is gone for a while each minute, somebody flushes the rules, the agent is killed or taken over
 * from. All the time clients connect to a Service whose endpoints are fine (in mode userspace one more refuses). In mode userspace
 * another Service has clients and endpoints without manners, at random (test/support/roughTraffic.ts). Prints how many connects
 * failed, and how memory and descriptors went in the second half, in which the agent is left alone.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/time/Clock.js';
import { FakeApiServer, type RawApiObject } from '../test/support/FakeApiServer.js';
import { callRoughly, serveRoughly } from '../test/support/roughTraffic.js';
import { type ServedApi, serveApi } from '../test/support/serveApi.js';
import { shopObjects } from '../test/support/shopObjects.js';
import { inNamespace } from './parts/inNamespace.js';
import { usageOf } from './parts/processUsage.js';

const PENSTOCK = fileURLToPath(new URL('../../bin/penstock', import.meta.url));
const PATHS = {
  Service: '/api/v1/services',
  EndpointSlice: '/apis/discovery.k8s.io/v1/endpointslices',
} as const;
const VIP = '172.30.0.1';
const GOOD = ['10.2.0.1', '10.2.0.2'];
const REFUSING = '10.2.0.3';
const ROUGH_VIP = '172.30.0.2';
const ROUGH = ['10.2.0.4', '10.2.0.5'];
const ROUGH_CLIENTS = 60;
const SERVICES = 200;
const ENDPOINTS = 4;

const { values } = parseArgs({
  options: {
    mode: { type: 'string', default: 'nftables' },
    minutes: { type: 'string', default: '20' },
    inside: { type: 'boolean', default: false },
    rough: { type: 'boolean', default: false },
  },
});
const { mode } = values;
const isProxy = mode === 'userspace';
const milliseconds = Number(values.minutes) * 60_000;

if (values.rough) await beRough();
else if (values.inside) await soak();
else {
  const args = ['--inside', '--mode', mode, '--minutes', values.minutes];
  const line = await inNamespace(fileURLToPath(import.meta.url), args);
  process.stdout.write(`${line}\n`);
}

interface Sample {
  readonly minute: number;
  readonly megabytes: number;
  readonly descriptors: number;
}

async function soak(): Promise<void> {
  prepareNamespace();
  const fake = new FakeApiServer(systemClock);
  let api = await serveApi(fake);
  const port = Number(new URL(api.url).port);
  fillCluster(fake);
  const folder = mkdtempSync(join(tmpdir(), 'penstock-soak-'));
  let agent = startAgent(folder, api, false);
  await untilServed();
  const rough = isProxy ? startRough() : undefined;

  const started = performance.now();
  const left = () => milliseconds - (performance.now() - started);
  const disturbed = () => left() > milliseconds / 2;
  const tally = { connects: 0, failed: 0, changes: 0, outages: 0, flushes: 0, restarts: 0 };
  const samples: Sample[] = [];
  /** Right after a flush connects fail; other tests show for how long. */
  let flushedUntil = 0;

  const clients = Array.from({ length: 4 }, async () => {
    while (left() > 0) {
      tally.connects++;
      const begun = performance.now();
      if (!GOOD.includes(await ask()) && begun > flushedUntil) tally.failed++;
      await sleep(5);
    }
  });
  const churn = (async () => {
    while (left() > 0) {
      putService(fake, 1 + Math.floor(Math.random() * SERVICES));
      tally.changes++;
      await sleep(50);
    }
  })();
  const outages = (async () => {
    while (left() > 0) {
      await sleep(25_000);
      fake.breakConnections();
      await sleep(20_000);
      await api.close();
      tally.outages++;
      await sleep(2_000 + Math.random() * 10_000);
      if (Math.random() < 0.3) fake.compact();
      api = await serveApi(fake, port);
    }
  })();
  const restarts = (async () => {
    while (disturbed()) {
      await sleep(60_000);
      if (!isProxy) {
        flushedUntil = performance.now() + 1_000;
        execFileSync('nft', ['flush', 'ruleset']);
        tally.flushes++;
        await sleep(1_000);
      }
      const old = agent;
      if (!isProxy) old.kill('SIGKILL');
      agent = startAgent(folder, api, isProxy);
      tally.restarts++;
    }
  })();
  const watching = (async () => {
    while (left() > 0) {
      await sleep(10_000);
      if (disturbed() || agent.pid === undefined) continue;
      const { residentBytes } = usageOf(agent.pid);
      const descriptors = readdirSync(`/proc/${agent.pid}/fd`).length;
      samples.push({
        minute: (performance.now() - started) / 60_000,
        megabytes: residentBytes / 2 ** 20,
        descriptors,
      });
    }
  })();
  await Promise.all([...clients, churn, outages, restarts, watching]);
  rough?.kill('SIGTERM');
  agent.kill('SIGTERM');
  await api.close();
  rmSync(folder, { recursive: true, force: true });
  // The first samples are those of a process that has just begun.
  const settled = samples.slice(Math.ceil(samples.length / 5));
  const rounded = (value: number) => Math.round(value * 100) / 100;
  process.stdout.write(
    `${JSON.stringify({
      mode,
      minutes: Number(values.minutes),
      ...tally,
      megabytes: [settled.at(0), settled.at(-1)].map((sample) => rounded(sample?.megabytes ?? 0)),
      megabytesPerMinute: rounded(slope(settled, ({ megabytes }) => megabytes)),
      descriptors: [settled.at(0)?.descriptors, settled.at(-1)?.descriptors],
    })}\n`,
  );
  process.exit(0);
}

function prepareNamespace(): void {
  const sh = (script: string) => execFileSync('sh', ['-ec', script]);
  sh('ip link set lo up; ip link add out type veth peer name peer; ip link set out up; ip link set peer up');
  sh('ip addr add 192.168.77.1/24 dev out; ip route add default dev out');
  for (const address of [...GOOD, REFUSING, ...ROUGH]) sh(`ip addr add ${address}/32 dev lo`);
  for (const address of GOOD) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(address));
    });
    server.listen(8080, address);
  }
}

function fillCluster(fake: FakeApiServer): void {
  fake.put('/api/v1/nodes', { kind: 'Node', apiVersion: 'v1', metadata: { name: 'node1' } } as RawApiObject);
  put(fake, 'web', VIP, isProxy ? [...GOOD, REFUSING] : GOOD);
  // Endpoints that never end their half would keep connections until a keepalive finds that the client is gone.
  put(fake, 'rough', ROUGH_VIP, ROUGH, { 'penstock.io/idle-timeout': '5s' });
  for (let i = 1; i <= SERVICES; i++) putService(fake, i);
}

function putService(fake: FakeApiServer, i: number): void {
  const endpoints = Array.from(
    { length: ENDPOINTS },
    () => `10.3.${i}.${1 + Math.floor(Math.random() * 250)}`,
  );
  put(fake, `s${i}`, `172.30.1.${i}`, [...new Set(endpoints)]);
}

function put(
  fake: FakeApiServer,
  name: string,
  clusterIP: string,
  endpoints: readonly string[],
  annotations: Readonly<Record<string, string>> = {},
): void {
  for (const object of shopObjects({ name, clusterIP, endpoints, annotations })) {
    const { kind } = object as { readonly kind: keyof typeof PATHS };
    fake.put(PATHS[kind], object as RawApiObject);
  }
}

function startAgent(folder: string, api: ServedApi, takeover: boolean): ChildProcess {
  const config = join(folder, 'config.yaml');
  writeFileSync(
    config,
    `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${mode}
hostnameOverride: node1
healthzBindAddress: 127.0.0.1:10256
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`,
  );
  const flags = ['run', '--config', config, '--master', api.url, ...(takeover ? ['--takeover'] : [])];
  return spawn(PENSTOCK, flags, { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function untilServed(): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (GOOD.includes(await ask())) return;
    await sleep(100);
  }
  throw new Error('the agent did not begin to serve');
}

/** In a process of its own, so that the clients who count failures are not held up. */
function startRough(): ChildProcess {
  const file = fileURLToPath(import.meta.url);
  return spawn(process.execPath, [file, '--rough'], { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function beRough(): Promise<void> {
  await Promise.all(ROUGH.map((address) => serveRoughly(address)));
  await callRoughly(ROUGH_VIP, ROUGH_CLIENTS, () => true);
}

/** The address that answered, or an error code. */
function ask(): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host: VIP, port: 80, timeout: 5000 });
    socket.on('connect', () => socket.write('hello'));
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('timeout', () => {
      resolve('TIMEOUT');
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'ERROR'));
    socket.on('close', () => resolve(text));
  });
}

/** Least squares, per minute. */
function slope(samples: readonly Sample[], read: (sample: Sample) => number): number {
  const count = samples.length;
  const meanX = samples.reduce((sum, { minute }) => sum + minute, 0) / count;
  const meanY = samples.reduce((sum, sample) => sum + read(sample), 0) / count;
  let [above, below] = [0, 0];
  for (const sample of samples) {
    above += (sample.minute - meanX) * (read(sample) - meanY);
    below += (sample.minute - meanX) ** 2;
  }
  return below === 0 ? 0 : above / below;
}

/**
 * npm run bench -- see
 *
 * What it costs to look, in mode nftables:
 *   commands   `status`, `services`, `diff` beside a running agent, and `diff` when it was killed
 *   refusals   from a refused connect to its line in `flows -f`
 *   flood      packets refused as fast as one sender can: what the agent takes of a core, beside an agent that is idle
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { rawObjects } from './objects.js';
import { inNamespace } from './parts/inNamespace.js';
import { ownMicroseconds, usageOf } from './parts/processUsage.js';
import { median, quantile, table } from './parts/statistics.js';

const PENSTOCK = fileURLToPath(new URL('../../bin/penstock', import.meta.url));
const RUNS = 5;
const REFUSALS = 60;
const FLOOD_MS = 10_000;
const EMPTY = '172.30.0.11';
/** Endpoints of rawObjects() up to 524,287, and clients of refused connections. */
const ENDPOINTS = '10.0.0.0/13';
const ENDPOINT_PORT = 8080;

interface Timing {
  readonly wallMs: readonly number[];
  readonly cpuMs: readonly number[];
}

// With it Node.js 20 reads all certificates that it knows at every start, 65 ms of processor time; the environment of a node has none.
delete process.env.NODE_EXTRA_CA_CERTS;
const [role, services, endpoints] = process.argv.slice(2);
if (role === 'commands') done(await measureCommands(Number(services), Number(endpoints)));
else if (role === 'refusals') done(await measureRefusals());
else if (role === 'flood') done(await measureFlood());
else await report();

function done(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

async function report(): Promise<void> {
  const self = fileURLToPath(import.meta.url);
  const run = async (...args: readonly string[]) => JSON.parse(await inNamespace(self, args)) as unknown;
  const rows: string[][] = [];
  for (const [n, e] of [
    [10_000, 5],
    [50_000, 5],
  ]) {
    const found = (await run('commands', String(n), String(e))) as Record<string, Timing>;
    for (const [name, { wallMs, cpuMs }] of Object.entries(found))
      rows.push([
        `${n} x ${e}: ${name}`,
        median(wallMs).toFixed(0),
        Math.min(...wallMs).toFixed(0),
        median(cpuMs).toFixed(0),
      ]);
  }
  process.stdout.write(`${table(['', 'median, ms', 'least, ms', 'processor time, ms'], rows)}\n`);
  const { delaysMs } = (await run('refusals')) as { readonly delaysMs: readonly number[] };
  process.stdout.write(
    `a refusal is in flows after: median ${median(delaysMs).toFixed(1)} ms, p95 ${quantile(delaysMs, 0.95).toFixed(1)} ms, most ${Math.max(...delaysMs).toFixed(1)} ms\n`,
  );
  const flood = (await run('flood')) as {
    readonly perSecond: number;
    readonly share: number;
    readonly idle: number;
  };
  process.stdout.write(
    `${flood.perSecond.toFixed(0)} refused packets a second: ${(flood.share * 100).toFixed(2)} % of a core in the agent, ${(flood.idle * 100).toFixed(2)} % when idle\n`,
  );
}

interface Running {
  readonly agent: ChildProcess;
  readonly folder: string;
}

/** An agent that is ready, with an address of its own, and endpoints that answer: all of them are this host. */
async function startAgent(objects: readonly object[]): Promise<Running> {
  for (const command of [
    'link set lo up',
    'link add out type veth peer name peer',
    'link set out up',
    'link set peer up',
    'addr add 192.168.77.1/24 dev out',
    'route add default dev out',
    `route add local ${ENDPOINTS} dev lo`,
  ])
    execFileSync('ip', command.split(' '));
  const folder = mkdtempSync(join(tmpdir(), 'penstock-see-'));
  const config = join(folder, '.config.yaml');
  writeFileSync(
    config,
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nhostnameOverride: node-0\n' +
      'clusterCIDR: 10.0.0.0/8\nhealthzBindAddress: 127.0.0.1:10256\n' +
      'conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}\n',
  );
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  writeFileSync(join(folder, 'objects.json'), JSON.stringify(list));
  const args = ['run', '--config', config, '--manifests', folder];
  const agent = spawn(PENSTOCK, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  while ((await readyz()) !== 200) {
    if (agent.exitCode !== null) throw new Error('the agent ended');
    await sleep(50);
  }
  return { agent, folder };
}

function readyz(): Promise<number> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port: 10256, path: '/readyz', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on('error', () => resolve(0));
  });
}

async function stop({ agent, folder }: Running): Promise<void> {
  agent.kill('SIGKILL');
  if (agent.exitCode === null && agent.signalCode === null) await once(agent, 'close');
  rmSync(folder, { recursive: true, force: true });
}

async function measureCommands(n: number, e: number): Promise<Record<string, Timing>> {
  // The kernel accepts for it while this process waits for a command.
  const server = createServer((socket) => socket.destroy()).listen(ENDPOINT_PORT, '0.0.0.0');
  await once(server, 'listening');
  const running = await startAgent(rawObjects(n, e));
  const found: Record<string, Timing> = {};
  try {
    // What the machine needs for the least that Node.js can do: other figures are multiples of it.
    found['node -e 0'] = timed(['-e', '0'], process.execPath);
    for (const words of [['status'], ['services', '--problems'], ['diff']])
      found[words.join(' ')] = timed(words);
    running.agent.kill('SIGKILL');
    await once(running.agent, 'close');
    found['diff, the agent is dead'] = timed(['diff']);
  } finally {
    await stop(running);
    server.close();
  }
  return found;
}

/** Throws when the command finds a fault: then it did other work than on a node that is well. */
function timed(words: readonly string[], program = PENSTOCK): Timing {
  const wallMs: number[] = [];
  const cpuMs: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const [start, cpu] = [performance.now(), ownMicroseconds()];
    const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' });
    wallMs.push(performance.now() - start);
    cpuMs.push((ownMicroseconds() - cpu) / 1000);
    if (status !== 0) throw new Error(`${words.join(' ')}: ${status} ${stdout}${stderr}`);
  }
  return { wallMs, cpuMs };
}

/** Services without endpoints, TCP and UDP. */
function empty(): object[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'empty', namespace: 'shop' },
      spec: {
        clusterIP: EMPTY,
        ports: [
          { name: 'http', port: 80, protocol: 'TCP' },
          { name: 'dns', port: 53, protocol: 'UDP' },
        ],
      },
    },
  ];
}

async function measureRefusals(): Promise<{ readonly delaysMs: readonly number[] }> {
  const running = await startAgent(empty());
  const flows = spawn(PENSTOCK, ['flows', '-f', '-o', 'json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const delaysMs: number[] = [];
  try {
    let heard = (_: string) => {};
    createInterface({ input: flows.stdout }).on('line', (line) => heard(line));
    await sleep(3000);
    // The first waits for the command to start.
    for (let i = 0; i <= REFUSALS; i++) {
      // Another client each time: the same within 10 s is one record.
      const from = `10.7.0.${i + 1}`;
      const began = performance.now();
      const line = new Promise<number>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('no line within 10 s')), 10_000);
        heard = (text) => {
          if (!text.includes(`"${from}"`)) return;
          clearTimeout(timer);
          resolve(performance.now() - began);
        };
      });
      connect({ host: EMPTY, port: 80, localAddress: from }).on('error', () => {});
      const delayMs = await line;
      if (i > 0) delaysMs.push(delayMs);
      await sleep(30 + (i % 7) * 5);
    }
  } finally {
    flows.kill();
    await stop(running);
  }
  return { delaysMs };
}

async function measureFlood(): Promise<{
  readonly perSecond: number;
  readonly share: number;
  readonly idle: number;
}> {
  const running = await startAgent(empty());
  try {
    const pid = running.agent.pid ?? 0;
    const used = () => {
      const { userMicroseconds, systemMicroseconds } = usageOf(pid);
      return userMicroseconds + systemMicroseconds;
    };
    await sleep(3000);
    const before = used();
    await sleep(FLOOD_MS);
    const idle = (used() - before) / (FLOOD_MS * 1000);
    const began = performance.now();
    const usedBefore = used();
    const sent = await flood();
    const ms = performance.now() - began;
    return { perSecond: (sent / ms) * 1000, share: (used() - usedBefore) / (ms * 1000), idle };
  } finally {
    await stop(running);
  }
}

/** Each datagram is refused, so each is the first of a connection. */
async function flood(): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  const end = performance.now() + FLOOD_MS;
  let sent = 0;
  const payload = Buffer.from('x');
  while (performance.now() < end) {
    for (let i = 0; i < 200; i++) socket.send(payload, 53, EMPTY, () => sent++);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.close();
  return sent;
}

/** penstock top beside an agent: what it shows of real connections, and that it stays live at 200,000 of them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { insertConnections } from '../../support/insertConnections.js';
import { plain, shell } from '../../support/iptables.js';
import { addSilentPods, nodeWithOutside } from '../../support/nodeWithOutside.js';

const VIP = '172.30.0.10';
/** Where the next table begins on a terminal. */
const HOME = '\u001b[H';

interface Sample {
  readonly agent: boolean;
  readonly connections: number;
  readonly isCut: boolean;
  readonly readMs: number;
  readonly elapsedMs: number;
  readonly items: readonly {
    readonly name: string;
    readonly newPerSecond: number;
    readonly open: number;
    readonly bytesPerSecond: number | null;
    readonly silent: number;
    readonly failed: number | null;
  }[];
}

function objects(): object[] {
  const service = (name: string, clusterIP: string) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  });
  const slice = (name: string, address: string) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: [address], nodeName: 'node1', targetRef: { kind: 'Pod', name: `${name}-a` } }],
  });
  return [
    service('cart', VIP),
    service('empty', '172.30.0.11'),
    service('mute', '172.30.0.12'),
    slice('cart', '10.1.0.1'),
    slice('mute', '10.66.0.1'),
  ];
}

function start(...words: readonly string[]): ChildProcess {
  const [file, args] = plain(PENSTOCK, 'top', ...words);
  return spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function run(...words: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const child = start(...words);
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    err += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, out, err };
}

const sampled = async (...words: readonly string[]) => {
  const { out, err } = await run(...words, '--once', '-o', 'json');
  return JSON.parse(out || `{"error": ${JSON.stringify(err)}}`) as Sample;
};

function tryConnect(host: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: 80 });
    socket.once('connect', () => resolve(socket)).on('error', () => resolve(socket));
  });
}

if (await inNetns(import.meta.url)) {
  nodeWithOutside('10.1.0.1');
  addSilentPods();
  shell('sysctl -qw net.netfilter.nf_conntrack_acct=1');
  const agent = new AgentProcess('mode: nftables\n');
  t.teardown(() => agent[Symbol.asyncDispose]());
  agent.write('objects.json', objects());
  agent.start();
  await agent.ready();
  const held = new Set<Socket>();
  const server = createServer((socket) => {
    held.add(socket.on('error', () => {}));
    socket.write('x'.repeat(1000));
  });
  await new Promise<void>((resolve) => server.listen(8080, '10.1.0.1', resolve));
  t.teardown(() => {
    for (const socket of held) socket.destroy();
    server.close();
  });

  t.test('on a terminal: one table in place of the other, and the screen as it was at the end', async (t) => {
    const [file, args] = plain(PENSTOCK, 'top', '--interval', '0.2');
    // script(1) has a terminal for it. Its shell must not stay: Ctrl-C ends dash as well, with a status of its own.
    const child = spawn('script', ['-qefc', ['exec', file, ...args].join(' '), '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm', COLUMNS: '80' },
    });
    let screen = '';
    const count = (text: string) => screen.split(text).length - 1;
    child.stdout?.on('data', (chunk) => {
      screen += chunk;
      // As a person does who has seen enough: Ctrl-C, once.
      if (count(HOME) >= 3 && child.stdin?.writableEnded === false) child.stdin.end('\u0003');
    });
    const [code] = await once(child, 'close');
    t.equal(code, 0, 'interrupted is no failure');
    t.equal(count('\u001b[?1049h'), 1, 'the other screen is entered once');
    t.ok(count(HOME) >= 3, 'each table is in the place of the one before');
    t.match(screen, /node1 {2}mode nftables/);
    t.ok(screen.trimEnd().endsWith('\u001b[?25h\u001b[?1049l'), 'left, with a cursor');
  });

  t.test('new, open, silent, failed, bytes', async (t) => {
    held.add(await tryConnect(VIP));
    held.add(connect({ host: '172.30.0.12', port: 80 }).on('error', () => {}));
    const asked = sampled('--interval', '3');
    await sleep(1500);
    for (let i = 0; i < 6; i++) held.add(await tryConnect(VIP));
    await tryConnect('172.30.0.11');
    const { items, agent: isAsked } = await asked;
    t.ok(isAsked);
    const [cart, ...others] = items;
    t.match(cart, { name: 'shop/cart:http/TCP', open: 7, silent: 0, failed: 0 });
    t.ok(Math.abs((cart?.newPerSecond ?? 0) - 2) < 0.5, `${cart?.newPerSecond} new a second`);
    t.ok((cart?.bytesPerSecond ?? 0) > 2000, 'they carried 6 kB');
    t.match(
      others.find(({ name }) => name === 'shop/mute:http/TCP'),
      { open: 0, silent: 1 },
    );
    t.match(
      others.find(({ name }) => name === 'shop/empty:http/TCP'),
      { open: 0, failed: 1 },
    );
  });

  t.test('one Service, by endpoint; a table for people', async (t) => {
    t.match(await sampled('shop/cart'), { items: [{ name: 'cart-a 10.1.0.1:8080', open: 7 }] });
    const { code, out } = await run('--once', '--sort', 'open');
    t.equal(code, 0);
    t.match(out, /^node1 {2}mode nftables.*8 connections/m);
    t.match(out, /^SERVICE +NEW\/s +OPEN +BYTES\/s +SILENT +FAILED\nshop\/cart:http\/TCP +0 +7 +\d/m);
    for (const line of out.split('\n')) t.ok(line.length <= 80, line);
  });

  t.test('wrong calls are one line', async (t) => {
    for (const words of [
      ['--sort', 'x'],
      ['--interval', '0'],
      ['cart'],
      ['shop/nobody'],
      ['--limit', '-1'],
    ]) {
      const { code, err } = await run(...words, '--once');
      t.equal(code, 2, words.join(' '));
      t.match(err, /^penstock top: [^\n]+\n(→ [^\n]+\n)?$/);
    }
  });

  t.test('200,000 connections', async (t) => {
    const limit = Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8'));
    if (limit < 210_000) {
      t.comment(`this host has room for ${limit} connections only`);
      return;
    }
    await insertConnections({ vip: VIP, port: 80, endpoint: '10.1.0.1', endpointPort: 8080, count: 200_000 });
    const child = start('--interval', '1', '-o', 'json');
    const samples: Sample[] = [];
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const begun = performance.now();
    for await (const line of lines) {
      samples.push(JSON.parse(line) as Sample);
      if (samples.length === 4) break;
    }
    const took = performance.now() - begun;
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    t.equal(code, 0, 'it ends when asked to');
    const reads = samples.map(({ readMs }) => Math.round(readMs));
    t.comment(`4 tables of 200,000 connections in ${Math.round(took)} ms, read in ${reads.join(', ')} ms`);
    for (const { connections } of samples)
      t.ok(connections > 199_900 && connections <= 200_000, `${connections}`);
    t.ok(
      samples.some(({ isCut }) => isCut),
      'there are a few more, and that is said',
    );
    // A reader that goes away is no error.
    const piped = shell(`${plain(PENSTOCK, 'top', '--interval', '0.2').flat().join(' ')} | head -1`);
    t.match(piped, /(199\d{3}|200000) connections/);
  });

  t.test('without an agent', async (t) => {
    await agent.end('SIGKILL');
    const { agent: isAsked, items } = await sampled();
    t.equal(isAsked, false);
    t.match(items[0], { name: 'shop/cart:http/TCP', failed: null });
    t.match((await run('--once')).out, 'No agent answers');
  });
}

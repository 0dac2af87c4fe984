/** Ends and upgrades of the agent: transfers go on, and nobody is refused. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import { takeoverSocket } from '../../../src/kernel/host/stateFiles.js';
import { AgentProcess, status } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import {
  call,
  callMany,
  makeUserspaceWorld,
  type Outcome,
  serve,
  VIP,
} from '../../support/userspaceWorld.js';

const POD = '10.2.0.1';
const PARTS = 40;
const PART = Buffer.alloc(20_000, 'x');

/** Says `ok` to those who say hello, and a long story, slowly, to all others. */
function answer(socket: Socket): void {
  socket.once('data', async (data) => {
    if (String(data) === 'hello') return socket.end('ok');
    for (let i = 0; i < PARTS; i++) {
      socket.write(PART);
      await sleep(100);
    }
    return socket.end();
  });
}

/** Says how a long story goes. Node.js does not tell: to it a reset that comes together with data is an end. */
const READER = `
import socket
reader = socket.create_connection(('${VIP}', 80))
reader.sendall(b'story')
try:
    reader.recv(4096)
    print('begun', flush=True)
    while reader.recv(65536):
        pass
    print('ended')
except ConnectionResetError:
    print('cut')
`;

/** `told`: bytes of a long story; -1 when it was cut. */
function story(): { readonly begun: Promise<void>; readonly told: Promise<number> } {
  const socket = connect({ host: VIP, port: 80 });
  socket.write('story');
  let bytes = 0;
  const told = new Promise<number>((resolve) => {
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.on('error', () => resolve(-1));
    socket.on('end', () => resolve(bytes));
  });
  return { begun: new Promise((resolve) => socket.once('data', () => resolve())), told };
}

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD]);
  const server = await serve(POD, answer);
  t.teardown(() => server.close());
  const objects = shopObjects({ name: 'web', clusterIP: VIP, endpoints: [POD] });
  const wholeStory = PARTS * PART.length;

  t.test('a new agent takes over under load', async (t) => {
    await using old = new AgentProcess('mode: userspace\npenstock: {takeover: true}\n');
    old.write('web.json', objects);
    old.start();
    t.ok(await old.ready());
    const stories = Array.from({ length: 8 }, story);
    let going = true;
    const outcomes: Outcome[] = [];
    const clients = Array.from({ length: 4 }, async () => {
      while (going) outcomes.push(await call());
    });
    await sleep(500);
    await using fresh = new AgentProcess('mode: userspace\npenstock: {takeover: true}\n');
    fresh.write('web.json', objects);
    fresh.start();
    t.strictSame(
      await Promise.all(stories.map(({ told }) => told)),
      stories.map(() => wholeStory),
      'every story was told to its end',
    );
    t.ok(await eventually(async () => fresh.output.includes('took over the listening sockets'), 60_000));
    going = false;
    await Promise.all(clients);
    t.strictSame(
      outcomes.filter(({ text }) => text !== 'ok'),
      [],
      `0 of ${outcomes.length} connections failed`,
    );
    t.equal(await old.ended(), 0, 'the old one ended by itself');
    t.match(old.output, 'another penstock has taken over');
    t.equal((await call()).text, 'ok');
  });

  t.test('the sockets are for nobody else', { timeout: 120_000 }, async (t) => {
    const path = takeoverSocket();
    rmSync(path, { force: true });
    await using unconfigured = new AgentProcess('mode: userspace\n');
    unconfigured.write('web.json', objects);
    unconfigured.start();
    t.ok(await unconfigured.ready(60_000));
    t.notOk(existsSync(path), 'they are offered only where that is configured');
    t.notMatch(readFileSync('/proc/net/unix', 'utf8'), /@penstock/);
    await unconfigured.end('SIGKILL');

    await using agent = new AgentProcess('mode: userspace\npenstock: {takeover: true}\n');
    agent.write('web.json', objects);
    // What a killed one has left.
    mkdirSync('/run/penstock', { recursive: true });
    writeFileSync(path, '');
    agent.start();
    t.ok(await agent.ready(60_000));
    t.ok(
      await eventually(async () => agent.output.includes('an upgrade will not be able to take over')),
      'a file is not a socket',
    );
    rmSync(path);
    await agent.end('SIGKILL');
    agent.start();
    t.ok(await agent.ready(60_000));
    t.ok(await eventually(async () => existsSync(path)));
    t.equal(statSync(path).mode & 0o777, 0o600);
    await agent.end('SIGKILL');
    t.ok(existsSync(path), 'a killed one leaves its socket');
    agent.start();
    t.ok(await agent.ready(60_000));

    // Sockets of another process come as a message of some bytes; nothing comes as the end.
    const ask = (words: readonly string[]) => {
      const script = `import socket,sys,array
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(8)
s.connect(sys.argv[1])
p = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try: p.setsockopt(socket.SOL_SOCKET, socket.SO_DEBUG, 1)
except OSError: pass
if sys.argv[2] == 'proof': s.sendmsg([b'h'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [p.fileno()]))])
else: s.send(b'h')
print(len(s.recv(4096)))`;
      const [command = '', ...rest] = [...words, 'python3', '-c', script, path];
      return (proof: string) => execFileSync(command, [...rest, proof], { encoding: 'utf8' }).trim();
    };
    const powerless = ask(['setpriv', '--bounding-set=-all', '--inh-caps=-all']);
    t.equal(powerless('proof'), '0', 'not for root without CAP_NET_ADMIN');
    t.equal(powerless('none'), '0');
    t.equal(ask([])('none'), '0', 'nor for whoever does not prove it');
    const nobody = ask(['setpriv', '--reuid=65534', '--clear-groups']);
    t.throws(() => nobody('proof'), 'nor for other users');
    t.not(ask([])('proof'), '0', 'the proof is what it takes');
    t.equal((await call()).text, 'ok', 'it serves on');
    t.notMatch(agent.output, /another penstock has taken over/);
    t.equal(await agent.end('SIGTERM'), 0);
    t.notOk(existsSync(path), 'one that ends takes its socket along');
  });

  t.test('a socket that another user has put there is not asked', { timeout: 60_000 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'penstock-squat-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    chmodSync(folder, 0o777);
    const options = {
      threads: 1,
      ipv6: 0,
      firstPort: 0,
      lastPort: 0,
      mark: 0,
      untranslated: 0,
      takeOverFrom: '',
    } as const;
    const engine = new (nativeAddon().ProxyEngine)(options);
    t.teardown(() => engine.close());
    t.throws(() => engine.offerTakeover(join(folder, 'sock')), { code: 'EPERM' }, 'anybody may write there');
    chmodSync(folder, 0o700);
    engine.offerTakeover(join(folder, 'sock'));
    const heir = () => {
      const fresh = new (nativeAddon().ProxyEngine)({ ...options, takeOverFrom: join(folder, 'sock') });
      const { inherited } = fresh.status;
      fresh.close();
      return inherited;
    };
    t.equal(heir(), 1);
    chownSync(join(folder, 'sock'), 65_534, 65_534);
    t.equal(heir(), 0);
  });

  t.test('in a pod the replaced one waits for SIGTERM, or the kubelet would start it again', async (t) => {
    const env = ['env', 'KUBERNETES_SERVICE_HOST=10.0.0.1'];
    await using old = new AgentProcess('mode: userspace\npenstock: {takeover: true}\n');
    await using fresh = new AgentProcess('mode: userspace\npenstock: {takeover: true}\n');
    for (const agent of [old, fresh]) {
      agent.write('web.json', objects);
      agent.start(env);
      t.ok(await agent.ready());
    }
    t.ok(await eventually(async () => old.output.includes('waiting for SIGTERM')));
    t.equal(await Promise.race([old.ended(), sleep(1000, 'still there')]), 'still there');
    t.ok(await eventually(async () => (await status('/readyz')) === 200), 'the ports are the new one’s');
    const outcomes = await callMany(50, 4);
    t.equal(await old.end('SIGTERM'), 0);
    outcomes.push(...(await callMany(50, 4)));
    t.ok(outcomes.every(({ text }) => text === 'ok'));
    t.equal(await fresh.end('SIGTERM'), 0);
  });

  t.test('SIGTERM: nobody new, and time for those who are there', async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('web.json', objects);
    agent.start();
    t.ok(await agent.ready());
    const { begun, told } = story();
    await begun;
    const ended = agent.end('SIGTERM');
    await sleep(300);
    t.match((await call()).text, /ECONNREFUSED|ECONNRESET/);
    t.equal(await told, wholeStory);
    t.equal(await ended, 0);
  });

  t.test('but not for ever', async (t) => {
    await using agent = new AgentProcess('mode: userspace\npenstock: {shutdownTimeout: 500ms}\n');
    agent.write('web.json', objects);
    agent.start();
    t.ok(await agent.ready());
    const reader = spawn('python3', ['-c', READER], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    reader.stdout.on('data', (chunk) => {
      said += chunk;
    });
    const read = once(reader, 'close');
    await once(reader.stdout, 'data');
    t.equal(await agent.end('SIGTERM'), 0);
    await read;
    t.equal(said, 'begun\ncut\n', 'a client must not take it for the end of the story');
    t.match(agent.output, '1 connections are cut: their time is over');
  });
}

/** Ends and upgrades of the agent: transfers go on, and nobody is refused. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
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
    await using old = new AgentProcess('mode: userspace\n');
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
    going = false;
    await Promise.all(clients);
    t.strictSame(
      outcomes.filter(({ text }) => text !== 'ok'),
      [],
      `0 of ${outcomes.length} connections failed`,
    );
    t.match(fresh.output, 'took over the listening sockets');
    t.equal(await old.ended(), 0, 'the old one ended by itself');
    t.match(old.output, 'another penstock has taken over');
    t.equal((await call()).text, 'ok');
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
    const { begun, told } = story();
    await begun;
    t.equal(await agent.end('SIGTERM'), 0);
    t.equal(await told, -1);
    t.match(agent.output, '1 connections are cut: their time is over');
  });
}

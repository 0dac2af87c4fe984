/** A Service without endpoints holds first packets until somebody serves: who waits is connected once, at once, as if fresh. */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Live } from '../../../src/cli/see/live/joinTrace.js';
import type { Explanation } from '../../../src/explain/explain.js';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { metric } from '../../support/choiceWorld.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { PATIENCE } from '../../support/patience.js';
import {
  Client,
  Endpoint,
  NODE_PORT,
  POD,
  prepareNode,
  sleepyObjects,
  VIP,
} from '../../support/wakeWorld.js';

const HOLD = { 'penstock.io/wake': 'hold', 'penstock.io/wake-target': 'deployment/sleepy' };
function penstock(...words: readonly string[]): Promise<{ readonly code: number; readonly out: string }> {
  return new Promise((resolve) => {
    const [file, args] = plain(PENSTOCK, ...words);
    execFile(file, args, (error, out) => resolve({ code: error === null ? 0 : Number(error.code), out }));
  });
}

const held = async (count: number) => ((await metric('penstock_wake_waiting_packets')) ?? 0) >= count;

if (await inNetns(import.meta.url)) {
  const side = prepareNode();
  t.teardown(() => side.close());
  const client = await Client.start(side);
  t.teardown(() => client[Symbol.asyncDispose]());

  for (const mode of ['nftables', 'iptables', 'userspace'] as const) {
    t.test(`mode ${mode}`, async (t) => {
      await using agent = new AgentProcess(
        `mode: ${mode}\nmetricsBindAddress: 127.0.0.1:10249\npenstock: {web: ''}\n`,
      );
      const endpoint = new Endpoint();
      t.teardown(() => endpoint.close());
      const asleep = async (annotations: Readonly<Record<string, string>> = HOLD) => {
        agent.write('sleepy.json', sleepyObjects(annotations, false));
        const isAsleep = async () => (await metric('penstock_wake_asleep')) === 4;
        t.ok(await eventually(isAsleep), 'both ports sleep in both families');
      };
      const awake = () => agent.write('sleepy.json', sleepyObjects(HOLD, true));
      const isAwake = () => eventually(async () => (await metric('penstock_wake_asleep')) === 0);
      agent.write('sleepy.json', sleepyObjects(HOLD, false));
      agent.start();
      await agent.ready();
      await endpoint.open();

      for (const family of ['IPv4', 'IPv6'] as const) {
        await asleep();
        const before = endpoint.clients.length;
        const all = client.connect(VIP[family], { count: 100 });
        t.ok(await eventually(() => held(100)), `${family}: all wait`);
        await sleep(2000);
        const released = (await metric('penstock_wake_released_total')) ?? 0;
        const at = performance.now();
        awake();
        const outcomes = await all;
        const late = performance.now() - at;
        t.ok(
          outcomes.every(([what]) => what === 'hello'),
          `${family}: all are connected: ${outcomes.find(([what]) => what !== 'hello')}`,
        );
        t.comment(
          `${family}: the last one ${Math.round(late)} ms after the manifest says that somebody is ready`,
        );
        const after = (await metric('penstock_wake_released_total')) ?? 0;
        t.equal(after - released, 100, 'those that waited went on: nobody had to come again');
        const came = endpoint.clients.slice(before);
        t.equal(came.length, 100, 'each once');
        if (mode !== 'userspace') t.equal(new Set(came).size, 100, 'none twice');
      }

      await asleep();
      const one = client.connect(VIP.IPv4, { asks: true });
      t.ok(await eventually(() => held(1)));
      await sleep(3500);
      awake();
      const [[what = '', , info = ''] = []] = await one;
      t.equal(what, 'hello');
      const srtt = Number(/\brtt:([\d.]+)/.exec(info)?.[1]);
      const rto = Number(/\brto:([\d.]+)/.exec(info)?.[1]);
      t.ok(srtt < 500 && rto < 1000, `the client's srtt is ${srtt} ms, its RTO ${rto} ms, after 3.5 s`);

      await asleep();
      const port = client.connect('192.168.77.1', { port: NODE_PORT });
      t.ok(await eventually(() => held(1)), 'a node port wakes too');
      awake();
      t.equal((await port)[0]?.[0], 'hello');
      if (mode === 'nftables') {
        await asleep();
        const elsewhere = await client.connect('10.1.0.1', { port: NODE_PORT });
        t.equal(elsewhere[0]?.[0], 'ECONNREFUSED', 'not where node ports do not answer');
      }

      await t.test('UDP: the newest three datagrams, in order', async (t) => {
        await asleep();
        const server = createSocket('udp4');
        server.on('message', (text, from) => server.send(text, from.port, from.address));
        server.bind(8053, POD.IPv4);
        await once(server, 'listening');
        const answers = client.datagrams(VIP.IPv4, 5);
        t.ok(await eventually(() => held(3)));
        await sleep(300);
        awake();
        t.strictSame(await answers, ['3', '4', '5']);
        server.close();
      });

      await t.test('nobody wakes', async (t) => {
        await asleep({ ...HOLD, 'penstock.io/wake-timeout': '1s' });
        const outcomes = await client.connect(VIP.IPv4, { limit: 20_000 * PATIENCE });
        t.equal(outcomes[0]?.[0], 'ECONNREFUSED', `after ${outcomes[0]?.[1]} ms`);
        t.ok(((await metric('penstock_wake_timeouts_total')) ?? 0) > 0);
        t.match(agent.output, /Service shop\/sleepy: a connection waits .* deployment\/sleepy should start/);
        t.match(agent.output, /Service shop\/sleepy: connections waited in vain/);
        awake();
        t.ok(await isAwake());
      });

      await t.test('the client has given up', async (t) => {
        await asleep();
        const before = endpoint.clients.length;
        const outcomes = await client.connect(VIP.IPv4, { limit: 1200 });
        t.equal(outcomes[0]?.[0], 'gave up');
        awake();
        t.ok(await isAwake());
        t.equal((await client.connect(VIP.IPv4))[0]?.[0], 'hello', 'others are served');
        t.equal(endpoint.clients.length, before + 1, 'the endpoint hears of one only');
      });

      await t.test('explain says who waits, and the trace that it does', async (t) => {
        await asleep();
        const to = `${VIP.IPv4}:80`;
        const explained = async (...words: readonly string[]) => {
          const { code, out } = await penstock('explain', ...words, '-o', 'json');
          return { code, ...(JSON.parse(out) as Explanation & { readonly live?: Live }) };
        };
        t.match(await explained('10.1.0.2', to), {
          code: 0,
          outcome: 'endpoint',
          reason: 'asleep',
          endpoints: [],
        });
        t.match(await explained('node', to), { code: 1, outcome: 'refused', reason: 'no-endpoints' });
        const tracing = explained('10.1.0.2', to, '--live', '--wait', '20');
        t.ok(await eventually(() => shell('nft list tables').includes('penstock-trace'), 20_000));
        const waits = client.connect(VIP.IPv4);
        t.match(await tracing, { code: 0, live: { outcome: 'held', agrees: true } });
        awake();
        t.equal((await waits)[0]?.[0], 'hello');
        t.match(await explained('10.1.0.2', to), { code: 0, reason: 'forwarded' });
      });

      await t.test('the node itself wakes nobody', async (t) => {
        await asleep();
        await using own = await Client.start(undefined);
        t.equal((await own.connect(VIP.IPv4))[0]?.[0], 'ECONNREFUSED');
      });

      await t.test('the agent ends and comes back', async (t) => {
        await asleep();
        const waits = client.connect(VIP.IPv4, { limit: 60_000 });
        t.ok(await eventually(() => held(1)));
        await agent.end('SIGKILL');
        t.equal(
          (await client.connect(VIP.IPv4))[0]?.[0],
          'ECONNREFUSED',
          'who comes now is told that nobody is there',
        );
        // Its first repeat comes in this time.
        await sleep(1500);
        agent.start();
        await agent.ready();
        t.ok(await eventually(async () => (await metric('penstock_wake_asleep')) === 4));
        awake();
        t.ok(await isAwake());
        t.equal(
          (await waits)[0]?.[0],
          'hello',
          'who waited already comes again until the next agent is there',
        );
        t.equal((await client.connect(VIP.IPv4))[0]?.[0], 'hello');
      });

      agent.write('sleepy.json', sleepyObjects({}, false));
      const isGone = () => !shell('nft list tables 2>/dev/null').includes('penstock-wake');
      t.ok(await eventually(isGone), 'the table goes with the last Service that asks');
      t.equal((await client.connect(VIP.IPv4))[0]?.[0], 'ECONNREFUSED', 'and refuses as ever');
      t.equal(await agent.end('SIGTERM'), 0);
    });
  }
}

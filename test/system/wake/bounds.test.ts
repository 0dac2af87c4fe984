/** What holding costs at most, who may not wake a Service, and what becomes of those who wait when the agent stops for a while. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { sleepRecord } from '../../../src/dataplane/wake/encodeHold.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import { AgentProcess } from '../../support/AgentProcess.js';
import { ip, service, tableOf } from '../../support/builders.js';
import { metric } from '../../support/choiceWorld.js';
import { fromRoot } from '../../support/fromRoot.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';
import { Client, Endpoint, POD, prepareNode, sleepyObjects, VIP } from '../../support/wakeWorld.js';

const HOLD = { 'penstock.io/wake': 'hold' };
const AWAKE_VIP = '192.0.2.50';
const SYNS = 60_000;
/** Of packets that may not wake, a second: as many as reach the program. */
const OUTSIDERS = 6000;
const ALLOWED = 50;
const MOST_WAITING = 1024;

const SLEEPERS = 20_000;

/** Milliseconds that the thread of this process that holds was on a processor. */
function holdMs(): number {
  const threads = readdirSync('/proc/self/task').map((id) => `/proc/self/task/${id}`);
  const holding = threads.find((path) => readFileSync(`${path}/comm`, 'utf8') === 'hold\n');
  return Number(readFileSync(`${holding}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

const waiting = async () => (await metric('penstock_wake_waiting_packets')) ?? 0;

function awake(): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'awake',
      namespace: 'shop',
      annotations: { ...HOLD, 'penstock.io/endpoints': `${POD.IPv4}:8080` },
    },
    spec: { externalIPs: [AWAKE_VIP], ports: [{ port: 80 }] },
  };
}

/** Resident memory of the process, MiB. */
function memory(pid: number | undefined): number {
  const [, kib = '0'] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

if (await inNetns(import.meta.url)) {
  const side = prepareNode();
  t.teardown(() => side.close());
  const agent = new AgentProcess(
    'mode: nftables\nmetricsBindAddress: 127.0.0.1:10249\npenstock: {wake: {ownPackets: true}}\n',
  );
  t.teardown(() => agent[Symbol.asyncDispose]());
  const client = await Client.start(side);
  t.teardown(() => client[Symbol.asyncDispose]());
  const endpoint = new Endpoint();
  t.teardown(() => endpoint.close());
  await endpoint.open();
  const isAsleep = (ports: number) =>
    eventually(async () => (await metric('penstock_wake_asleep')) === ports);
  const serve = async (serves: boolean) => {
    agent.write('sleepy.json', sleepyObjects(HOLD, serves));
    return isAsleep(serves ? 0 : 4);
  };
  agent.write('awake.json', [awake()]);
  agent.write('sleepy.json', sleepyObjects(HOLD, false));
  agent.start();
  await agent.ready();

  t.test('IPv6: a client is as fresh as one that did not wait', async (t) => {
    t.ok(await serve(false));
    const waits = client.connect(VIP.IPv6, { asks: true });
    t.ok(await eventually(async () => (await waiting()) === 1));
    await sleep(2500);
    t.ok(await serve(true));
    const [[what = '', , info = ''] = []] = await waits;
    t.equal(what, 'hello');
    t.ok(Number(/\brtt:([\d.]+)/.exec(info)?.[1]) < 500, info.trim().slice(0, 200));
  });

  t.test('the node itself wakes, where it is to', async (t) => {
    t.ok(await serve(false));
    await using own = await Client.start(undefined);
    for (const vip of [VIP.IPv4, VIP.IPv6]) {
      t.ok(await serve(false));
      const waits = own.connect(vip);
      t.ok(await eventually(async () => (await waiting()) === 1), vip);
      t.ok(await serve(true));
      t.equal((await waits)[0]?.[0], 'hello');
    }
  });

  t.test('the agent stops for a while', async (t) => {
    t.ok(await serve(false));
    const held = client.connect(VIP.IPv4);
    t.ok(await eventually(async () => (await waiting()) === 1));
    process.kill(agent.pid as number, 'SIGSTOP');
    const late = client.connect(VIP.IPv4);
    t.equal((await client.connect(AWAKE_VIP))[0]?.[0], 'hello', 'nobody else is held up');
    await sleep(1500);
    process.kill(agent.pid as number, 'SIGCONT');
    t.ok(await serve(true));
    t.equal((await held)[0]?.[0], 'hello', 'who waited before');
    t.equal((await late)[0]?.[0], 'hello', 'and who came meanwhile');
  });

  t.test('a flood of SYNs', async (t) => {
    t.ok(await serve(false));
    const before = memory(agent.pid);
    const crowded = (await metric('penstock_wake_crowded_total')) ?? 0;
    side.run(`python3 ${fromRoot('test/support/synFlood.py').pathname} 10.77 ${VIP.IPv4} 80 ${SYNS}`);
    t.ok(await eventually(async () => (await waiting()) === MOST_WAITING), 'no more wait than may');
    const dropped = ((await metric('penstock_wake_crowded_total')) ?? 0) - crowded;
    t.ok(dropped > 0, 'others are dropped');
    t.ok(dropped < SYNS / 2, `most of them by the kernel: the agent had to drop ${dropped}`);
    const grown = memory(agent.pid) - before;
    t.ok(grown < 48, `the agent has ${Math.round(grown)} MiB more`);
    const others = await client.connect(AWAKE_VIP, { count: 50 });
    t.ok(
      others.every(([what]) => what === 'hello'),
      'Services that are awake are served',
    );
    const other = client.connect(VIP.IPv6);
    t.ok(
      await eventually(async () => (await waiting()) === MOST_WAITING + 1),
      'another port has room of its own',
    );
    const late = client.connect(VIP.IPv4);
    t.ok(await serve(true));
    t.equal((await other)[0]?.[0], 'hello');
    t.equal((await late)[0]?.[0], 'hello', 'and who found no room comes again');
    t.ok(await eventually(async () => (await waiting()) === 0), 'all that waited went on, at their pace');
  });

  t.test('thousands that sleep cost nothing', async (t) => {
    const queue = new (nativeAddon().HoldQueue)({ firstQueue: 40_000 }, () => {});
    t.teardown(() => queue.close());
    const sleeping = tableOf([service({ options: { wake: 'hold' } })]);
    sleeping.commit();
    const [sleeper] = sleeping.servicePorts('IPv4').values();
    if (!sleeper) throw new Error('no service port');
    const vip = (i: number) => ip(`10.97.${i >> 8}.${i & 255}`);
    queue.update(
      Buffer.concat(
        Array.from({ length: SLEEPERS }, (_, i) => sleepRecord(i + 1, { ...sleeper, clusterIP: vip(i) })),
      ),
    );
    await sleep(200);
    const before = holdMs();
    await sleep(2000);
    const ms = holdMs() - before;
    t.ok(ms < 20, `${ms} ms of processor time in two seconds without packets`);
  });

  t.test('clients that may not use a load-balancer IP wake nobody', async (t) => {
    const address = '192.0.2.60';
    const restricted = (range: string) =>
      sleepyObjects(HOLD, false, {
        type: 'LoadBalancer',
        loadBalancerSourceRanges: [range],
        externalIPs: [],
      }).map((object) =>
        (object as { kind: string }).kind === 'Service'
          ? { ...object, status: { loadBalancer: { ingress: [{ ip: address }] } } }
          : object,
      );
    agent.write('sleepy.json', restricted('203.0.113.0/24'));
    t.ok(await isAsleep(4));
    await sleep(1000);
    const [[refused = ''] = []] = await client.connect(address, { limit: 1500 });
    t.not(refused, 'hello');
    t.equal(await waiting(), 0);
    agent.write('sleepy.json', restricted('10.1.0.0/23'));
    t.ok(
      await eventually(async () => {
        void client.connect(address, { limit: 1000 });
        await sleep(300);
        return (await waiting()) > 0;
      }),
      'those that may do',
    );
    const before = await waiting();
    side.run(
      `python3 ${fromRoot('test/support/synFlood.py').pathname} 10.77 ${address} 80 ${3 * OUTSIDERS} ${OUTSIDERS} >/dev/null 2>&1 &`,
    );
    await sleep(1000);
    void client.connect(address, { count: ALLOWED, limit: 1500 });
    t.ok(
      await eventually(async () => (await waiting()) === before + ALLOWED, 900),
      'and so many others do not shut them out',
    );
  });
}

/** A Service that falls asleep and wakes again and again under its clients: nobody is refused. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { metric } from '../../support/choiceWorld.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { Client, Endpoint, prepareNode, sleepyObjects, VIP } from '../../support/wakeWorld.js';

const CHANGES = 16;
const ASLEEP_MS = 250;
const AWAKE_MS = 150;
/** More than an endpoint gets at once. */
const MANY = 300;
const KILLS = 3;
/** Ports of both families that sleep, and how the agent tells of them. */
const WAYS = {
  hold: { ports: 4, name: 'penstock_wake_asleep' },
  accept: { ports: 2, name: 'penstock_wake_accepting' },
} as const;
const CASES = [
  ['nftables', 'hold'],
  ['nftables', 'accept'],
  ['iptables', 'hold'],
] as const;

const count = (outcomes: readonly string[]) => {
  const counts: Record<string, number> = {};
  for (const each of outcomes) counts[each] = (counts[each] ?? 0) + 1;
  return counts;
};

if (await inNetns(import.meta.url)) {
  const side = prepareNode();
  t.teardown(() => side.close());
  const endpoint = new Endpoint();
  t.teardown(() => endpoint.close());
  await endpoint.open();

  for (const [mode, way] of CASES) {
    t.test(`mode ${mode}, wake: ${way}`, async (t) => {
      const annotations = { 'penstock.io/wake': way };
      await using agent = new AgentProcess(`mode: ${mode}\nmetricsBindAddress: 127.0.0.1:10249\n`);
      const serve = (serves: boolean) => agent.write('sleepy.json', sleepyObjects(annotations, serves));
      const { ports, name } = WAYS[way];
      const isAsleep = async (serves = false) =>
        t.ok(await eventually(async () => (await metric(name)) === (serves ? 0 : ports)));
      serve(false);
      agent.start();
      await agent.ready();
      await isAsleep();

      let goesOn = true;
      const outcomes: string[] = [];
      const connect = async (vip: string) => {
        await using client = await Client.start(side);
        while (goesOn) for (const [what] of await client.connect(vip)) outcomes.push(what);
      };
      const clients = [VIP.IPv4, VIP.IPv4, VIP.IPv6, VIP.IPv6].map(connect);
      for (let i = 0; i < CHANGES; i++) {
        serve(i % 2 === 0);
        await sleep(i % 2 === 0 ? AWAKE_MS : ASLEEP_MS);
      }
      serve(true);
      await isAsleep(true);
      goesOn = false;
      await Promise.all(clients);
      t.strictSame(Object.keys(count(outcomes)), ['hello'], JSON.stringify(count(outcomes)));

      if (way === 'hold') {
        serve(false);
        await isAsleep();
        await using client = await Client.start(side);
        const all = client.connect(VIP.IPv4, { count: MANY });
        t.ok(await eventually(async () => ((await metric('penstock_wake_waiting_packets')) ?? 0) >= MANY));
        serve(true);
        await isAsleep(true);
        serve(false);
        await isAsleep();
        serve(true);
        const found = count((await all).map(([what]) => what));
        t.strictSame(found, { hello: MANY }, 'those whose turn had not come wait again');
        serve(false);
        await isAsleep();
        const late = client.connect(VIP.IPv6, { count: 50 });
        t.ok(await eventually(async () => ((await metric('penstock_wake_waiting_packets')) ?? 0) >= 50));
        shell('nft flush ruleset');
        // Their first packets are lost, and come again after a second.
        await sleep(1500);
        serve(true);
        const flushed = count((await late).map(([what]) => what));
        t.strictSame(flushed, { hello: 50 }, 'where somebody removes all tables nobody is refused either');
        serve(false);
        await isAsleep();
        const orphans = client.connect(VIP.IPv4, { count: 50 });
        t.ok(await eventually(async () => ((await metric('penstock_wake_waiting_packets')) ?? 0) >= 50));
        for (let i = 0; i < KILLS; i++) {
          await agent.end('SIGKILL');
          // They come again meanwhile, and find nobody.
          await sleep(1200);
          agent.start();
          await agent.ready();
        }
        serve(true);
        const survived = count((await orphans).map(([what]) => what));
        t.strictSame(survived, { hello: 50 }, 'nor where the agent is killed, as often as it may be');
      }
    });
  }
}

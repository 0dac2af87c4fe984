/** A Service that accepts while it sleeps: clients are connected at once, what they say is kept, and they hear from an endpoint later. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from './AgentProcess.js';
import { metric } from './choiceWorld.js';
import { eventually, shell } from './iptables.js';
import { PATIENCE } from './patience.js';
import { Client, Endpoint, NODE_PORT, prepareNode, sleepyObjects, VIP } from './wakeWorld.js';

const ACCEPT = { 'penstock.io/wake': 'accept', 'penstock.io/wake-target': 'deployment/sleepy' };
const waiting = async (count: number) => ((await metric('penstock_wake_accepted_active')) ?? 0) >= count;

/** In the network namespace of the caller, which it changes. `holds`: other protocols are held. */
export async function testAccepting(
  modes: readonly string[],
  { clients, holds }: { clients: number; holds: boolean },
): Promise<void> {
  const side = prepareNode();
  t.teardown(() => side.close());
  const client = await Client.start(side);
  t.teardown(() => client[Symbol.asyncDispose]());
  for (const mode of modes) testMode(mode, client, clients, holds);
}

function testMode(mode: string, client: Client, clients: number, holds: boolean): void {
  t.test(`mode ${mode}`, async (t) => {
    await using agent = new AgentProcess(`mode: ${mode}\nmetricsBindAddress: 127.0.0.1:10249\n`);
    const endpoint = new Endpoint();
    t.teardown(() => endpoint.close());
    const asleep = async (more: Readonly<Record<string, string>> = {}) => {
      agent.write('sleepy.json', sleepyObjects({ ...ACCEPT, ...more }, false));
      const isAsleep = async () => (await metric('penstock_wake_accepting')) === 2;
      t.ok(await eventually(isAsleep), 'TCP is accepted in both families');
    };
    const awake = () => agent.write('sleepy.json', sleepyObjects(ACCEPT, true));
    const isAwake = () => eventually(async () => (await metric('penstock_wake_accepting')) === 0);
    agent.write('sleepy.json', sleepyObjects(ACCEPT, false));
    agent.start();
    await agent.ready();
    await endpoint.open();
    await asleep();
    if (holds) t.equal(await metric('penstock_wake_asleep'), 2, 'UDP is held');

    for (const family of ['IPv4', 'IPv6'] as const) {
      await asleep();
      const [came, heard] = [endpoint.clients.length, endpoint.heard.length];
      const all = client.connect(VIP[family], { count: clients, says: 'please' });
      t.ok(await eventually(() => waiting(clients)), `${family}: all wait`);
      await sleep(1000);
      t.equal(endpoint.clients.length, came);
      awake();
      const outcomes = await all;
      const wrong = outcomes.find(([what]) => what !== 'hello');
      t.equal(wrong, undefined, `${family}: all are answered`);
      const accepted = Math.max(...outcomes.map(([, , , at]) => at));
      const answered = Math.min(...outcomes.map(([, at]) => at));
      t.ok(
        accepted < answered - 500,
        `accepted within ${accepted} ms, answered after ${answered} ms or more`,
      );
      t.equal(endpoint.clients.length - came, clients, 'each once');
      t.ok(await eventually(() => endpoint.heard.length - heard >= clients));
      t.strictSame([...new Set(endpoint.heard)], ['please'], 'what they said before is there, and said once');
      t.ok(await isAwake());
    }
    t.match(agent.output, /Service shop\/sleepy: a connection waits .* deployment\/sleepy should start/);

    const before = await metric('penstock_wake_accepted_total');
    t.equal((await client.connect(VIP.IPv4))[0]?.[0], 'hello');
    t.equal(await metric('penstock_wake_accepted_total'), before, 'awake, it is the business of the mode');

    await asleep();
    const port = client.connect('192.168.77.1', { port: NODE_PORT });
    t.ok(await eventually(() => waiting(1)), 'a node port wakes too');
    awake();
    t.equal((await port)[0]?.[0], 'hello');

    await t.test('nobody wakes', async (t) => {
      await asleep({ 'penstock.io/wake-timeout': '1s' });
      const [outcome] = await client.connect(VIP.IPv4, { limit: 20_000 * PATIENCE });
      t.equal(outcome?.[0], 'ECONNRESET', `after ${outcome?.[1]} ms`);
      t.ok((outcome?.[1] ?? 0) > 900);
      const isTold = () => agent.output.includes('Service shop/sleepy: connections waited in vain');
      t.ok(await eventually(isTold));
      t.equal(await metric('penstock_wake_accepted_in_vain_total'), 1);
    });

    await t.test('the client has given up', async (t) => {
      await asleep();
      t.equal((await client.connect(VIP.IPv4, { limit: 300 }))[0]?.[0], 'gave up');
      await using own = await Client.start(undefined);
      t.equal((await own.connect(VIP.IPv4))[0]?.[0], 'ECONNREFUSED', 'the node itself wakes nobody');
      awake();
      t.ok(await isAwake());
      t.equal((await client.connect(VIP.IPv4))[0]?.[0], 'hello', 'others are served');
    });

    await t.test('one with source ranges is held', async (t) => {
      const spec = { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.1.0.0/16', 'fd00:1::/64'] };
      agent.write('sleepy.json', sleepyObjects(ACCEPT, false, spec));
      if (holds) t.ok(await eventually(async () => (await metric('penstock_wake_asleep')) === 4));
      const isGone = () => !shell('nft list tables').includes('penstock-accept');
      t.ok(await eventually(isGone), 'the table goes with the last that asks');
    });

    await asleep();
    const cut = client.connect(VIP.IPv4, { limit: 20_000 * PATIENCE });
    t.ok(await eventually(() => waiting(1)));
    t.equal(await agent.end('SIGTERM'), 0);
    t.equal((await cut)[0]?.[0], 'ECONNRESET', 'who waits is not left alone');
    t.notOk(shell('nft list tables').includes('penstock-accept'), 'no rule leads to a port that nobody has');
  });
}

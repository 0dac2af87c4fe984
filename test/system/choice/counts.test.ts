/** Algorithms that count connections are exact in the modes in which the kernel carries the bytes. */
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import {
  choiceObjects,
  metric,
  PODS,
  Program,
  prepareNode,
  shares,
  spread,
  VIP,
} from '../../support/choiceWorld.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';

const ALL = [...PODS.IPv4, ...PODS.IPv6];
const COUNT = 10_000;
type Answers = readonly (readonly [string, number])[];

const SERVICES = [
  ...choiceObjects({
    name: 'counted',
    vips: [VIP.IPv4, VIP.IPv6],
    annotations: { 'penstock.io/algorithm': 'least-connections' },
    endpoints: ALL,
  }),
  ...choiceObjects({
    name: 'drawn',
    vips: ['10.96.0.11', 'fd00:96::11'],
    annotations: {},
    endpoints: ALL,
  }),
  ...choiceObjects({
    name: 'two',
    vips: ['10.96.0.12', 'fd00:96::12'],
    annotations: { 'penstock.io/algorithm': 'power-of-two' },
    endpoints: ALL,
  }),
  ...choiceObjects({
    name: 'weighed',
    vips: ['10.96.0.13'],
    annotations: {
      'penstock.io/algorithm': 'least-connections',
      'penstock.io/weights': '{"10.244.0.2": 3, "10.244.0.5": 0}',
    },
    endpoints: PODS.IPv4,
  }),
];

if (await inNetns(import.meta.url)) {
  prepareNode();
  const server = await Program.serving(ALL);
  t.teardown(() => server[Symbol.asyncDispose]());

  for (const mode of ['nftables', 'iptables'] as const) {
    t.test(`mode ${mode}`, async (t) => {
      await using agent = new AgentProcess(`mode: ${mode}\nmetricsBindAddress: 127.0.0.1:10249\n`);
      await using client = await Program.holding();
      agent.write('services.json', SERVICES);
      agent.start();
      await agent.ready();
      const opened = async (count: number, host: string, how: 'tcp' | 'udp' = 'tcp', atOnce = 1) =>
        shares(await client.ask<Answers>([count, host, how, atOnce]));

      for (const family of ['IPv4', 'IPv6'] as const) {
        const vip = VIP[family];
        const one = await opened(400, vip);
        t.equal(spread(one, 4), 0, `${family}: one after the other: ${JSON.stringify(one)}`);
        await client.ask([0]);
        await eventually(async () => (await metric('penstock_choice_connections_active')) === 0);
        const many = await opened(400, vip, 'tcp', 16);
        t.equal(spread(many, 4), 0, `${family}: 16 at a time: ${JSON.stringify(many)}`);
        const flows = await opened(100, vip, 'udp', 4);
        t.equal(spread(flows, 4), 0, `${family}: UDP flows: ${JSON.stringify(flows)}`);
        const two = await opened(400, vip.replace(/10$/, '12'), 'tcp', 16);
        t.ok(spread(two, 4) <= 8, `${family}: the better of two: ${JSON.stringify(two)}`);
        const isCounted = async () => (await metric('penstock_choice_connections_active')) === 900;
        t.ok(await eventually(isCounted), 'all count');
        await client.ask([0]);
        // Datagrams say nothing of an end: those flows count until the kernel forgets them.
        const isOver = () => metric('penstock_choice_connections_active').then((active) => active === 100);
        t.ok(await eventually(isOver), 'closed connections count no more');
        shell('conntrack -D -p udp >/dev/null 2>&1 || true');
        await eventually(async () => (await metric('penstock_choice_connections_active')) === 0);
      }
      const weighed = await opened(500, '10.96.0.13', 'tcp', 4);
      t.strictSame(weighed, { '10.244.0.2': 300, '10.244.0.3': 100, '10.244.0.4': 100 }, 'weights hold');
      await client.ask([0]);

      if (mode === 'nftables') {
        await eventually(async () => (await metric('penstock_choice_connections_active')) === 0);
        const exact = await opened(COUNT, VIP.IPv4, 'tcp', 16);
        t.ok(spread(exact, 4) <= 1, `of ${COUNT}: ${JSON.stringify(exact)}`);
        await client.ask([0]);
        const drawn = await opened(COUNT / 4, '10.96.0.11', 'tcp', 16);
        t.ok(spread(drawn, 4) > 1, `beside them, by lot: ${JSON.stringify(drawn)}`);
        await client.ask([0]);
      }

      // Who asks no more pays no more.
      agent.write('services.json', SERVICES.slice(3, 6));
      const isGone = () => !shell('nft list tables 2>/dev/null').includes('penstock-choice');
      t.ok(await eventually(isGone), 'the table goes with the last Service that asks');
      t.equal(shell('cat /proc/net/netfilter/nfnetlink_queue'), '', 'and the queue');
      t.ok(shares(await client.ask<Answers>([4, '10.96.0.11'])), 'others are served on');
      t.equal(await agent.end('SIGTERM'), 0);
    });
  }
}

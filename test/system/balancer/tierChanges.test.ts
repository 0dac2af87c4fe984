/**
 * Tables of both tiers that change while first packets wait in a queue of the kernel: the packets survive, what is written is only
 * what differs, and what others did to the tables is mended.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { SlotHistory } from '../../../src/balancer/tiers/SlotHistory.js';
import { type TierInput, TierTables } from '../../../src/balancer/tiers/TierTables.js';
import { type TierNode, type TierService, tierContents } from '../../../src/balancer/tiers/tierContents.js';
import { openNftablesChannel } from '../../../src/kernel/nftables/table/openNftablesChannel.js';
import type { IpAddress } from '../../../src/net/ip.js';
import { AgentProcess } from '../../support/AgentProcess.js';
import { metric } from '../../support/choiceWorld.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { Client, POD, prepareNode, sleepyObjects, VIP } from '../../support/wakeWorld.js';

const HOLD = { 'penstock.io/wake': 'hold' };
const FLOWS = 10;
const OF_A_FLOW = 3;
const FAMILIES = ['netdev', 'ip', 'ip6'] as const;

const listed = () => FAMILIES.map((family) => shell(`nft list table ${family} penstock-balancer`)).join('');
/** As lines in any order: the kernel lists elements as they lie in its hash table. */
const sorted = (text: string) =>
  text
    .split(/[\n,]/)
    .map((line) => line.replace(/elements = \{|\}/g, '').trim())
    .filter(Boolean)
    .sort();

if (await inNetns(import.meta.url)) {
  const side = prepareNode();
  t.teardown(() => side.close());
  const channel = openNftablesChannel();
  t.teardown(() => channel.close());
  const device = (name: string) => ({
    name,
    index: JSON.parse(shell(`ip -j link show ${name}`))[0].ifindex as number,
  });
  const lan = device('lan');
  const nodes = new Map(
    ['b', 'c', 'd'].map((name, i): [string, TierNode] => [
      name,
      {
        addresses: { IPv4: `10.1.0.${i + 11}` as IpAddress, IPv6: `fd00:1::${i + 11}` as IpAddress },
        device: lan,
      },
    ]),
  );
  /** `lists`: the nodes of each address, one step after the other. */
  const input = (lists: readonly (readonly string[])[], devices = [lan]): TierInput => {
    const services = ['198.51.100.1', '198.51.100.2', '2001:db8:9::1'].flatMap((address, i) => {
      const history = new SlotHistory();
      for (const names of lists.slice(0, i + 1)) history.set(names, 0);
      const of = (protocol: 'TCP' | 'UDP'): TierService => ({
        address: address as IpAddress,
        protocol,
        port: 80,
        hash: 'flow',
        table: history.table,
        before: history.before(new Set(nodes.keys()), 0),
      });
      return [of('TCP'), of('UDP')];
    });
    return { contents: tierContents('a', services, nodes), devices, macs: [Uint8Array.of(2, 0, 0, 0, 0, 9)] };
  };
  const STEPS = [
    input([
      ['b', 'c'],
      ['c', 'd'],
      ['a', 'd'],
    ]),
    input([['c'], ['b'], ['a', 'b', 'c']]),
    input([['d'], ['d'], ['d']]),
    input([['d'], ['a'], ['b', 'd']]),
  ];

  t.test('after any change there is what a first write makes', async (t) => {
    const tables = new TierTables(channel);
    await tables.write(STEPS[0] as TierInput);
    for (const step of [...STEPS].reverse()) {
      await tables.write(step);
      const changed = sorted(listed());
      const { committed } = tables;
      await tables.write(step);
      t.equal(tables.committed, committed, 'the same again writes nothing');
      const next = new TierTables(channel);
      await next.write(step);
      t.equal(next.committed, 0, 'the next agent takes the tables as they are');
      shell(FAMILIES.map((family) => `nft delete table ${family} penstock-balancer`).join('; '));
      await new TierTables(channel).write(step);
      t.same(sorted(listed()), changed);
      t.equal(await tables.areAltered(), false, 'whoever wrote it');
    }
  });

  t.test('what others do is found and mended', async (t) => {
    const tables = new TierTables(channel);
    const [step] = STEPS;
    await tables.write(step as TierInput);
    const written = sorted(listed());
    const [, slots = ''] = /map (\S+-lan)/.exec(listed()) ?? [];
    for (const harm of [
      'nft delete table netdev penstock-balancer',
      'nft delete table ip6 penstock-balancer; nft delete table ip penstock-balancer',
      `nft flush map netdev penstock-balancer services-4; nft flush map netdev penstock-balancer ${slots}`,
      'nft flush chain netdev penstock-balancer arriving',
      'nft add element netdev penstock-balancer nodes "{ 02:00:00:00:00:77 }"',
      'nft add chain netdev penstock-balancer foreign; nft add rule netdev penstock-balancer arriving accept',
    ]) {
      t.equal(await tables.areAltered(), false);
      shell(harm);
      t.equal(await tables.areAltered(), true, harm);
      await tables.write(step as TierInput);
    }
    t.same(sorted(listed()), written, 'all is mended');
    // Not looked at before the next change.
    shell('nft flush map netdev penstock-balancer services-6');
    await tables.write(STEPS[1] as TierInput);
    const mended = sorted(listed());
    shell('nft delete table netdev penstock-balancer');
    await new TierTables(channel).write(STEPS[1] as TierInput);
    t.same(sorted(listed()), mended);
  });

  t.test('an interface that comes back, and another with its name', async (t) => {
    const tables = new TierTables(channel);
    const lists = [['b'], ['c'], ['d']];
    const hooks = () =>
      [...shell('nft list table netdev penstock-balancer').matchAll(/chain at-(\S+) \{[^}]*goto/g)].map(
        ([, name]) => name,
      );
    shell('ip link add spare type veth peer name spare-peer');
    await tables.write(input(lists, [lan, device('spare')]));
    t.same(hooks().sort(), ['lan', 'spare']);
    await tables.write(input(lists, [lan]));
    t.same(hooks(), ['lan']);
    shell('ip link set spare name other; ip link add spare type veth peer name next-peer');
    await tables.write(input(lists, [lan, device('spare')]));
    t.same(hooks().sort(), ['lan', 'spare']);
    t.match(shell('nft list chain netdev penstock-balancer at-spare'), /"spare"/);
    shell('ip link del spare; ip link add spare type veth peer name last-peer');
    await tables.write(input(lists, [lan, device('spare')]));
    t.match(shell('nft list chain netdev penstock-balancer at-spare'), /"spare"[^}]*goto/);
    shell('ip link del spare; ip link del other');
    await tables.write(input(lists, [lan]));
    t.same(hooks(), ['lan']);
    await tables.clear();
    t.same(hooks(), [], 'nothing is led on');
    t.notMatch(listed(), /198\.51\./);
    await tables.write(input(lists, [lan]));
    t.same(hooks(), ['lan']);
    await new TierTables(channel).clear();
    t.equal(
      shell('nft list tables').includes('penstock-balancer'),
      false,
      'of an earlier process nothing stays',
    );
  });

  t.test('packets that wait for a Service to wake', async (t) => {
    const agent = new AgentProcess('mode: nftables\nmetricsBindAddress: 127.0.0.1:10249\n');
    t.teardown(() => agent[Symbol.asyncDispose]());
    const client = await Client.start(side);
    t.teardown(() => client[Symbol.asyncDispose]());
    const server = createSocket('udp4');
    server.on('message', (text, from) => server.send(text, from.port, from.address));
    server.bind(8053, POD.IPv4);
    await once(server, 'listening');
    t.teardown(() => server.close());
    agent.write('sleepy.json', sleepyObjects(HOLD, false));
    agent.start();
    await agent.ready();
    t.ok(await eventually(async () => (await metric('penstock_wake_asleep')) === 4));
    const tables = new TierTables(channel);
    await tables.write(STEPS[0] as TierInput);
    // Datagrams: a SYN that was dropped would come again.
    const waits = Array.from({ length: FLOWS }, () => client.datagrams(VIP.IPv4, OF_A_FLOW));
    /** What the kernel itself keeps for the queue. */
    const queued = () =>
      readFileSync('/proc/self/net/netfilter/nfnetlink_queue', 'utf8')
        .trim()
        .split('\n')
        .reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2]), 0);
    t.ok(await eventually(async () => queued() === FLOWS * OF_A_FLOW), 'all wait');
    const { committed } = tables;
    for (const step of [...STEPS].reverse()) await tables.write(step);
    await tables.write(input([['b'], ['c'], ['d']], []));
    await tables.clear();
    await tables.write(STEPS[0] as TierInput);
    t.ok(tables.committed > committed + 10, `${tables.committed - committed} transactions`);
    t.equal(queued(), FLOWS * OF_A_FLOW, 'none was dropped');
    agent.write('sleepy.json', sleepyObjects(HOLD, true));
    for (const answers of await Promise.all(waits)) t.same(answers, ['1', '2', '3']);
  });
}

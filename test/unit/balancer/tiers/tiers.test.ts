/** Tables of slots: whose they are, what they remember, and what of that is written. */
import t from 'tap';
import { DRAIN_MS, SLOTS, SlotHistory } from '../../../../src/balancer/tiers/SlotHistory.js';
import {
  type TierNode,
  type TierService,
  tableDigest,
  tierContents,
} from '../../../../src/balancer/tiers/tierContents.js';
import { arrivingTable, secondChanceTable } from '../../../../src/balancer/tiers/tierRules.js';
import { printTransaction } from '../../../../src/kernel/nftables/printTransaction.js';
import { ip } from '../../../support/builders.js';

const DEVICE = { name: 'eth0', index: 2 };
const NODES = new Map<string, TierNode>(
  ['a', 'b', 'c'].map((name, i) => [name, { addresses: { IPv4: ip(`192.0.2.${i + 1}`) }, device: DEVICE }]),
);
const ALL = new Set(NODES.keys());

function service(history: SlotHistory, fields: Partial<TierService> = {}): TierService {
  const { table } = history;
  const before = history.before(ALL, 0);
  return { address: ip('203.0.113.10'), protocol: 'TCP', port: 80, hash: 'flow', table, before, ...fields };
}

function historyOf(...steps: readonly (readonly string[])[]): SlotHistory {
  const history = new SlotHistory();
  for (const nodes of steps) history.set(nodes, 0);
  return history;
}

t.test('slots are shared evenly, and a node that goes moves hardly any of the others', async (t) => {
  const all = historyOf(['a', 'b', 'c']);
  t.equal(all.table.length, SLOTS);
  for (const name of ['a', 'b', 'c']) {
    const share = all.table.filter((each) => each === name).length / SLOTS;
    t.ok(Math.abs(share - 1 / 3) < 0.01, `${name}: ${share}`);
  }
  t.same(historyOf(['c', 'a', 'b', 'a']).table, all.table, 'order and repetition make no difference');
  const without = historyOf(['a', 'b']);
  const moved = all.table.filter((name, slot) => name !== 'c' && name !== without.table[slot]).length;
  t.ok(
    moved / SLOTS < 0.2 / 3,
    `${moved} of ${SLOTS} slots of those that stay have moved, 1 - 1.2/3 are kept`,
  );
});

t.test('a slot remembers the node before, for ten minutes', async (t) => {
  const history = new SlotHistory();
  history.set(['a', 'b'], 0);
  t.equal(history.before(ALL, 0).size, 0, 'in the beginning there was none');
  const first = history.table;
  history.set(['a', 'b', 'c'], 1000);
  const before = history.before(ALL, 1000);
  t.equal(before.size, first.filter((node, slot) => node !== history.table[slot]).length);
  t.ok([...before].every(([slot, node]) => first[slot] === node));
  t.equal(history.before(new Set(['c']), 1000).size, 0, 'whom nobody can reach is no chance');
  t.equal(history.nextChange, 1000 + DRAIN_MS);
  t.equal(history.before(ALL, 999 + DRAIN_MS).size, before.size);
  t.equal(history.before(ALL, 1000 + DRAIN_MS).size, 0);
  t.equal(history.nextChange, undefined);
});

t.test('a change and its contrary', async (t) => {
  const history = historyOf(['a', 'b'], ['a', 'b', 'c'], ['a', 'b']);
  const before = history.before(ALL, 0);
  t.ok(before.size > 0);
  t.ok(
    [...before].every(([slot, node]) => history.table[slot] !== node),
    'nobody hands over to the node it is on',
  );
  history.set([], 0);
  t.same(history.table, []);
  t.equal(history.before(ALL, 0).size, 0, 'without a table nobody asks');
});

t.test('what is written: slots of others only, and equal tables once', async (t) => {
  const history = historyOf(['a', 'b']);
  const ports = [service(history), service(history, { port: 443 }), service(history, { protocol: 'UDP' })];
  const contents = tierContents('a', ports, NODES);
  t.equal(contents.tables.size, 1);
  t.equal(contents.services.length, 3);
  const [table] = contents.tables.values();
  const slots = table?.byDevice.get('eth0')?.slots;
  t.equal(slots?.size, history.table.filter((each) => each === 'b').length);
  t.ok([...(slots?.values() ?? [])].every((address) => address === '192.0.2.2'));
  t.equal(contents.fragments.length, 2, 'one for TCP, one for UDP');
});

t.test('nodes that cannot be reached are left out', async (t) => {
  t.same(tierContents('a', [service(historyOf(['x', 'y']))], NODES).services, [], 'packets go the usual way');
  t.same(tierContents('a', [service(historyOf(['a']))], NODES).services, [], 'all slots are of this node');
  const v6 = service(historyOf(['b']), { address: ip('2001:db8:1::10') });
  t.same(tierContents('a', [v6], NODES).services, [], 'no address of the family');
});

t.test(
  'the second chance: slots of this node lead to who had them before, slots of others to whose they are',
  async (t) => {
    const history = historyOf(['a'], ['b']);
    t.equal(
      tierContents('b', [service(history, { protocol: 'UDP' })], NODES).secondChances.length,
      0,
      'no SYN',
    );
    const contents = tierContents('b', [service(history)], NODES);
    t.equal(contents.secondChances.length, 1);
    t.equal(
      tierContents('b', [service(historyOf(['b']))], NODES).secondChances.length,
      0,
      'nobody else had it',
    );
    const text = printTransaction(secondChanceTable(contents, 'IPv4'));
    t.match(
      text,
      /tcp flags & syn == 0 ct state invalid,new ip ttl > 8 ip daddr \. meta l4proto \. th dport vmap @chances/,
    );
    t.match(
      text,
      /dup to jhash ip saddr \. th sport mod 2039 seed 0x70656e73 map @t\w+-eth0 device "eth0" ip ttl set 8 drop/,
    );
    // A node sent it to c, or to a, whose tables say that it is b's.
    for (const self of ['a', 'c']) {
      const [chance] = tierContents(self, [service(history)], NODES).secondChances;
      t.equal(chance?.tables.length, 1, self);
    }
    const mixed = tierContents('b', [service(historyOf(['a'], ['b', 'c']))], NODES);
    const [before, others] = mixed.secondChances[0]?.tables.map((name) => mixed.tables.get(name)) ?? [];
    const slotsOf = (table: typeof before) => table?.byDevice.get('eth0')?.slots ?? new Map<number, string>();
    t.same([...new Set(slotsOf(before).values())], ['192.0.2.1']);
    t.same([...new Set(slotsOf(others).values())], ['192.0.2.3']);
    t.equal(slotsOf(before).size + slotsOf(others).size, SLOTS, 'no slot twice');
  },
);

t.test('the rules of an arriving node', async (t) => {
  const contents = tierContents('a', [service(historyOf(['b']))], NODES);
  const text = printTransaction(arrivingTable(contents, ['eth0'], [Uint8Array.of(2, 0, 0, 0, 0, 2)]));
  for (const line of [
    /add chain netdev penstock-balancer at-eth0 \{ type filter hook ingress device "eth0" priority -150; \}/,
    /arriving ether saddr @nodes accept/,
    /arriving-4 ip frag-off & 0x3fff != 0 ip daddr \. meta l4proto vmap @fragments-4/,
    /arriving-4 meta l4proto icmp icmp type 3 @th,160,32 \. @th,136,8 \. @th,224,16 vmap @errors-4/,
    /ft\w+ fwd ip to jhash ip saddr \. th sport mod 2039 seed 0x70656e73 map @t\w+-eth0 device "eth0"/,
    /et\w+ fwd ip to jhash @th,192,32 \. @th,240,16 mod 2039/,
    /at\w+ fwd ip to jhash ip saddr mod 2039/,
  ])
    t.match(text, line);
  const byClient = tierContents('a', [service(historyOf(['b']), { hash: 'client' })], NODES);
  t.match(printTransaction(arrivingTable(byClient, [], [])), /ft\w+ fwd ip to jhash ip saddr mod 2039/);
});

t.test('nodes that agree have one digest', async (t) => {
  const history = historyOf(['a', 'b']);
  const services = [service(history), service(history, { port: 443 })];
  t.equal(tableDigest(services), tableDigest([...services].reverse()));
  t.not(tableDigest(services), tableDigest([service(historyOf(['a']))]));
});

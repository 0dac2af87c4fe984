/** The small pure parts of mode nftables. */
import fc from 'fast-check';
import t from 'tap';
import { cidrRange, withoutContained } from '../../../../src/dataplane/family/cidrRanges.js';
import { filledTurns, indexCount, turnCount } from '../../../../src/dataplane/nftables/desired/indexCount.js';
import { KeptSettings } from '../../../../src/dataplane/nftables/desired/KeptSettings.js';
import {
  type HostFacts,
  nftablesSettings,
} from '../../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { ownerText } from '../../../../src/dataplane/nftables/desired/ownerText.js';
import { Collected } from '../../../../src/dataplane/nftables/plan/Collected.js';
import { ipKey } from '../../../../src/kernel/nftables/dataTypes.js';
import { bytesToIp } from '../../../../src/net/ip.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import {
  cidr,
  endpoint,
  ip,
  node,
  service,
  serviceCIDR,
  slice,
  tableOf,
  upsert,
} from '../../../support/builders.js';
import { HOST_ADDRESSES, OPTIONS } from '../../../support/nftablesWorld.js';

t.test('the first and last address of a range', async (t) => {
  const cases = [
    ['10.0.0.0/8', '10.0.0.0', '10.255.255.255'],
    ['203.0.113.0/25', '203.0.113.0', '203.0.113.127'],
    ['192.0.2.7/32', '192.0.2.7', '192.0.2.7'],
    ['10.96.0.0/12', '10.96.0.0', '10.111.255.255'],
    ['2001:db8::/33', '2001:db8::', '2001:db8:7fff:ffff:ffff:ffff:ffff:ffff'],
    ['fd00::1/128', 'fd00::1', 'fd00::1'],
  ] as const;
  const address = (text: string) => bytesToIp(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  for (const [range, first, last] of cases) {
    const found = cidrRange(cidr(range));
    t.same([address(found.first), address(found.last)], [first, last], range);
  }
});

t.test('ranges within others are left out', async (t) => {
  const kept = (...ranges: readonly string[]) => withoutContained(ranges.map(cidr));
  t.same(kept('10.0.0.0/9', '10.0.0.0/8', '10.128.0.0/9', '10.0.0.0/8'), ['10.0.0.0/8']);
  t.same(kept('10.0.0.0/9', '10.128.0.0/9'), ['10.0.0.0/9', '10.128.0.0/9']);
  t.same(kept(), []);
});

t.test('more than half of the indexes lead to an endpoint, at any number of them', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 65_536 }), (wanted) => {
      const count = indexCount(wanted);
      return Number.isInteger(Math.log2(count)) && wanted <= count && wanted * 2 > count;
    }),
  );
});

t.test('turns: each endpoint as often as any other, in order, and no two empty ones in a row', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), (wanted) => {
      const count = turnCount(wanted);
      const turns = filledTurns(count, wanted);
      // From the last to the first of the next round too.
      const steps = turns.map((turn, i) => (turns[i + 1] ?? count + (turns[0] ?? 0)) - turn);
      return (
        turns.length % wanted === 0 && turns.length > 0 && steps.every((step) => step === 1 || step === 2)
      );
    }),
  );
});

t.test('the number of indexes stays through a rolling update', async (t) => {
  t.same([0, 1, 2, 3, 4, 5, 8, 9].map(indexCount), [1, 1, 2, 4, 4, 8, 8, 16]);
  t.same([0, 1, 3, 4, 8, 9, 10, 11, 16].map(turnCount), [8, 8, 8, 8, 8, 16, 16, 16, 16]);
  t.same(filledTurns(8, 3), [0, 1, 2, 4, 5, 6]);
  t.same(filledTurns(8, 0), []);
});

t.test('names of chains fit the kernel, and differ', async (t) => {
  const port = (service: string, portName: string) =>
    ownerText({ namespace: 'n'.repeat(63), service, protocol: 'TCP', portName } as ServicePort);
  const names = [port('a'.repeat(63), 'http'), port('a'.repeat(63), 'https'), port('b', ''), port('b', 'x')];
  t.equal(new Set(names).size, names.length);
  t.ok(names.every((name) => name.length <= 70 && /^[A-Za-z][\w/.-]*$/.test(name)));
});

t.test('a pod that may be on this node can reach itself', async (t) => {
  const table = tableOf([
    service(),
    slice([
      endpoint('10.1.0.1', { nodeName: 'node1' }),
      endpoint('10.1.0.2', { nodeName: 'node2' }),
      endpoint('10.1.0.3', { nodeName: '' }),
    ]),
  ]);
  table.commit();
  const collected = new Collected();
  for (const port of table.servicePorts('IPv4').values()) {
    collected.add(port);
  }
  const pair = (address: string) => ipKey(ip(address)) + ipKey(ip(address));
  t.same(collected.sharedKeys.get('hairpins'), [pair('10.1.0.1'), pair('10.1.0.3')]);
});

t.test('settings are made anew when anything that they are made of is another, and only then', async (t) => {
  const table = tableOf([service()], { nodeName: 'node1' });
  table.commit();
  const kept = new KeptSettings(OPTIONS, 'IPv4');
  let facts: HostFacts = { addresses: HOST_ADDRESSES, localhostPorts: { tcp: 1 }, untranslated: [] };
  let before = kept.of(table, facts);
  t.equal(kept.of(table, { ...facts, localhostPorts: { tcp: 1 } }), before);
  const others = (): Partial<HostFacts>[] => [
    { addresses: [...HOST_ADDRESSES, ip('192.0.2.9')] },
    { localhostPorts: { tcp: 2 } },
    { localhostPorts: { tcp: 2, udp: 3 } },
    { divertMark: 4 },
    { untranslated: [cidr('10.96.0.0/12')] },
    { stance: 'behind' },
  ];
  const differs = (what: string) => {
    const now = kept.of(table, facts);
    t.not(now, before, what);
    t.strictSame(now, nftablesSettings(OPTIONS, 'IPv4', table, facts), what);
    before = now;
  };
  for (const other of others()) {
    facts = { ...facts, ...other };
    differs(JSON.stringify(other));
  }
  for (const object of [
    serviceCIDR('one', '10.96.0.0/12'),
    node({ name: 'node1', podCIDRs: [cidr('10.1.0.0/24')] }),
  ]) {
    table.apply([upsert(object)]);
    table.commit();
    differs(object.kind);
  }
  table.apply([upsert(slice([endpoint('10.1.0.1')]))]);
  table.commit();
  t.equal(kept.of(table, facts), before, 'Services are no part of them');
});

import fc from 'fast-check';
import t from 'tap';
import { type AddressWish, elect, type Liveness } from '../../../../src/balancer/layer2/election.js';
import { encodeOrders } from '../../../../src/balancer/layer2/orders.js';
import { compareRank } from '../../../../src/balancer/layer2/rendezvous.js';
import type { Member } from '../../../../src/balancer/membership/Member.js';
import { ipToBytes } from '../../../../src/net/ip.js';
import { INTERFACE, openModel } from '../../../support/balancer/modelLan.js';
import { cidr, ip } from '../../../support/builders.js';

const ADDRESS = ip('192.0.2.100');
const NAMES = ['node1', 'node2', 'node3', 'node4'];
const RANKED = [...NAMES].sort((a, b) => compareRank(ADDRESS, a, b));
const [FIRST = '', SECOND = '', THIRD = ''] = RANKED;

function member(name: string, fields: Partial<Member> = {}): Member {
  return { name, address: undefined, fresh: true, macs: [], subnets: [], advertises: undefined, ...fields };
}

function wish(fields: Partial<AddressWish> = {}): AddressWish {
  return { address: ADDRESS, advertisements: ['lan'], nodes: undefined, movedTo: undefined, ...fields };
}

function electAmong(
  members: readonly Member[],
  fields: Partial<AddressWish> = {},
  liveness: Liveness = new Map(),
) {
  return elect(
    wish(fields),
    { members: new Map(members.map((each) => [each.name, each])), connected: true },
    liveness,
  );
}

const ALL = NAMES.map((name) => member(name));
const but = (name: string, fields: Partial<Member>) =>
  ALL.map((each) => (each.name === name ? member(name, fields) : each));

t.test('who is elected', async (t) => {
  t.same(electAmong(ALL), { owner: FIRST, order: RANKED, passedOver: [] });
  t.equal(electAmong([]).owner, undefined);
  t.equal(electAmong(but(FIRST, { fresh: false })).owner, SECOND, 'not whose Lease has run out');
  t.equal(electAmong(ALL, { nodes: new Set([THIRD]) }).owner, THIRD, 'only where endpoints are');
  t.equal(electAmong(ALL, { nodes: new Set() }).owner, undefined);
  t.equal(
    electAmong(but(FIRST, { subnets: [cidr('198.51.100.0/24')] })).owner,
    SECOND,
    'only on the LAN of the address',
  );
  t.equal(electAmong(but(FIRST, { subnets: [cidr('192.0.2.0/24')] })).owner, FIRST);
  t.equal(
    electAmong(but(FIRST, { advertises: new Map() })).owner,
    SECOND,
    'only whom the advertisement chooses',
  );
  t.equal(electAmong(but(FIRST, { advertises: new Map([['lan', 'candidate']]) })).owner, FIRST);
  t.equal(electAmong(but(THIRD, { advertises: new Map([['lan', 'preferred']]) })).owner, THIRD);
  t.equal(electAmong(ALL, { movedTo: THIRD }).owner, THIRD);
  t.same(
    electAmong(but(FIRST, { deaf: true })).order,
    [...RANKED.slice(1), FIRST],
    'who hears nobody comes last',
  );
  t.equal(
    electAmong(but(FIRST, { deaf: true }), { movedTo: FIRST }).owner,
    SECOND,
    'wherever it was moved to',
  );
  t.same(electAmong(NAMES.map((name) => member(name, { deaf: true }))).order, RANKED, 'all alike: as ever');
  t.equal(
    electAmong(but(THIRD, { fresh: false }), { movedTo: THIRD }).owner,
    FIRST,
    'a node that is gone is nobody to move to',
  );
});

t.test('what heartbeats change', async (t) => {
  t.match(electAmong(ALL, {}, new Map([[FIRST, 'dead']])), { owner: SECOND, passedOver: [FIRST] });
  t.match(electAmong(ALL, {}, new Map([[SECOND, 'dead']])), { owner: FIRST, passedOver: [] });
  t.match(electAmong(ALL, {}, new Map([[FIRST, 'leaving']])), { owner: SECOND, passedOver: [] });
  t.match(electAmong([member('node1')], {}, new Map([['node1', 'leaving']])), { owner: 'node1' });
  t.equal(
    electAmong(ALL, {}, new Map(NAMES.map((name) => [name, 'dead']))).owner,
    FIRST,
    'all dead: they are not, this node is deaf',
  );
});

t.test('a node that comes takes only its own; a node that goes moves only its own', async () => {
  const name = fc.stringMatching(/^[a-z0-9-]{1,12}$/);
  fc.assert(
    fc.property(fc.uniqueArray(name, { minLength: 2, maxLength: 12 }), fc.ipV4(), (names, text) => {
      const members = names.map((each) => member(each));
      const address = ip(text);
      const before = electAmong(members, { address }).owner;
      const [gone = ''] = names;
      const after = electAmong(members.slice(1), { address }).owner;
      return before === gone ? after !== gone : after === before;
    }),
  );
});

t.test('addresses are spread evenly', async (t) => {
  const counts = new Map<string | undefined, number>();
  for (let i = 0; i < 4000; i++) {
    const { owner } = electAmong(ALL, { address: ip(`10.0.${i >> 8}.${i & 255}`) });
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  for (const name of NAMES)
    t.ok(Math.abs((counts.get(name) ?? 0) - 1000) < 120, `${name}: ${counts.get(name)} of 4000`);
});

t.test('the wire ranks as the election does', async () => {
  const name = fc.stringMatching(/^[a-z0-9.-]{1,20}$/);
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(name, name, address, (self, peer, text) => {
      if (self === peer) return;
      const target = ip(text);
      if (ipToBytes(target)[0] === 255) return;
      const model = openModel(self, 1, [[peer, 2]]);
      const other = openModel(peer, 2, [[self, 1]]);
      const claim = {
        command: 'claim',
        interface: INTERFACE,
        address: target,
        giveWay: 'to nobody',
        probes: 1,
        intervalMs: 1,
      } as const;
      for (const each of [model, other]) {
        each.run(encodeOrders([claim]), 0);
        each.advance(0);
        each.advance(1);
      }
      const [, frame] = other.takeFrames().slice(-2);
      model.frame(INTERFACE, frame as Uint8Array, 2, 0);
      const yielded = model.stateOf(INTERFACE, ipToBytes(target)) === 0;
      if (yielded !== compareRank(target, peer, self) < 0) throw new Error(`${self} and ${peer} for ${text}`);
    }),
    { numRuns: 300 },
  );
});

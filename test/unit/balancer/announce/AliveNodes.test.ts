import t from 'tap';
import { AliveNodes } from '../../../../src/balancer/announce/AliveNodes.js';
import type { Liveness } from '../../../../src/balancer/layer2/election.js';
import type { Member, MembershipView } from '../../../../src/balancer/membership/Member.js';

const member = (name: string, fresh = true): Member => ({
  name,
  address: undefined,
  fresh,
  macs: [],
  subnets: [],
  advertises: undefined,
});

const view = (...members: readonly Member[]): MembershipView => ({
  members: new Map(members.map((each) => [each.name, each])),
  connected: true,
});

const ALL = view(member('a'), member('b'), member('c'));
const dead = (...names: readonly string[]): Liveness => new Map(names.map((name) => [name, 'dead']));
const world = (self = 'a') => {
  const nodes = new AliveNodes(self);
  return {
    at: (
      now: number,
      liveness: Liveness,
      of = ALL,
      answering: readonly string[] = [],
      endingWithAgent: readonly string[] = [],
    ) => {
      const { nodes: alive, taking } = nodes.of(
        of,
        liveness,
        now,
        new Set(answering),
        new Set(endingWithAgent),
      );
      return [...alive].map((name) => (taking.has(name) ? name : `(${name})`)).join(' ');
    },
    silent: () => [...nodes.silent].join(' '),
    next: () => nodes.nextLook,
  };
};

t.test('a death counts when it has lasted', async (t) => {
  const { at, next } = world();
  t.equal(at(0, dead()), 'a b c');
  t.equal(next(), undefined);
  t.equal(at(1000, dead('b')), 'a b c');
  t.equal(next(), 1500);
  t.equal(at(1500, dead('b')), 'a c');
  t.equal(next(), undefined);
  t.equal(at(9000, dead()), 'a b c', 'heard again');
  t.equal(at(9000, dead(), view(member('a'), member('b', false), member('c'))), 'a c', 'its Lease ran out');
});

t.test(
  'who hears nobody learns nothing from it, nor while the others are heard again one by one',
  async (t) => {
    const { at, next } = world();
    at(0, dead());
    t.equal(at(1000, dead('b')), 'a b c');
    t.equal(at(1100, dead('b', 'c')), 'a b c', 'deaf');
    t.equal(at(60_000, dead('b', 'c')), 'a b c', 'for as long as it takes');
    t.equal(at(61_000, dead('c')), 'a b c', 'b is heard first');
    t.equal(next(), 63_000);
    t.equal(at(61_100, dead()), 'a b c');
    t.equal(at(70_000, dead()), 'a b c');
  },
);

t.test('one that is really dead is known to be when this node hears again', async (t) => {
  const { at } = world();
  at(0, dead());
  at(1000, dead('b', 'c'));
  t.equal(at(2000, dead('c')), 'a b c');
  t.equal(at(4000, dead('c')), 'a b');
});

t.test('of two nodes the silent one is dead', async (t) => {
  const { at } = world();
  const two = view(member('a'), member('b'));
  t.equal(at(0, dead(), two), 'a b');
  at(1000, dead('b'), two);
  t.equal(at(1500, dead('b'), two), 'a');
});

t.test(
  'packets still go to a machine whose agent alone is silent, also when its Lease runs out',
  async (t) => {
    const { at, silent } = world();
    t.equal(at(0, dead()), 'a b c');
    t.equal(at(1000, dead('b')), 'a b c');
    t.equal(silent(), 'b');
    t.equal(at(1500, dead('b'), ALL, ['b']), 'a b c');
    const expired = view(member('a'), member('b', false), member('c'));
    t.equal(at(7000, dead('b'), expired, ['b']), 'a b c');
    t.equal(at(7100, dead('b'), expired), 'a c', 'the machine is gone');
    t.equal(at(7200, dead('b'), expired, ['b']), 'a c', 'without a Lease it does not come back by that');
    t.equal(at(9000, dead(), ALL), 'a b c');
    t.equal(silent(), '');
  },
);

t.test('a machine that lives carries nothing where traffic ends with the agent', async (t) => {
  const { at } = world();
  at(0, dead(), ALL, [], ['b']);
  t.equal(at(1000, dead('b'), ALL, ['b'], ['b']), 'a b c');
  t.equal(at(1500, dead('b'), ALL, ['b'], ['b']), 'a c');
  t.equal(at(9000, dead(), ALL, [], ['b']), 'a b c', 'heard again');
  t.equal(
    at(20_000, dead('b'), view(member('a'), member('b', false), member('c')), ['b'], ['b']),
    'a c',
    'its Lease ran out',
  );
});

t.test(
  'where traffic ends with the agent, a node that leaves takes no new connections until it serves',
  async (t) => {
    const { at } = world();
    const liveness = (state: 'leaving' | 'dead' | 'alive'): Liveness => new Map([['b', state]]);
    at(0, dead());
    t.equal(at(1000, liveness('leaving')), 'a b c', 'rules stay, and so do connections');
    t.equal(at(1100, liveness('leaving'), ALL, [], ['b']), 'a (b) c', 'those that are there go on');
    t.equal(at(1200, liveness('dead'), ALL, ['b'], ['b']), 'a (b) c', 'nor while its death is young');
    t.equal(at(1700, liveness('dead'), ALL, ['b'], ['b']), 'a c');
    t.equal(at(5000, liveness('leaving')), 'a (b) c', 'it begins');
    t.equal(at(5500, liveness('alive')), 'a b c', 'in another mode');
  },
);

t.test(
  'nor does this node while it begins: connections of meanwhile are led to whoever has them',
  async (t) => {
    const { at } = world();
    const self = (state: 'leaving' | 'alive'): Liveness => new Map([['a', state]]);
    t.equal(at(0, self('leaving'), ALL, [], ['a']), '(a) b c');
    t.equal(at(900, self('alive'), ALL, [], ['a']), 'a b c');
  },
);

t.test(
  'a node that was passed over takes connections again when its agent serves, not when it begins',
  async (t) => {
    const { at } = world();
    const liveness = (state: 'leaving' | 'alive'): Liveness => new Map([['b', state]]);
    at(0, dead());
    at(1000, dead('b'));
    t.equal(at(1500, dead('b')), 'a c', 'the machine starts again');
    t.equal(at(9000, liveness('leaving')), 'a (b) c');
    t.equal(at(9500, liveness('alive')), 'a b c');
    t.equal(at(20_000, liveness('leaving')), 'a b c', 'its rules stay');
  },
);

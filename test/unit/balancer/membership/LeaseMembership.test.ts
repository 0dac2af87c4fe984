/** Leases as two or more nodes see them, on clocks of their own. */
import t from 'tap';
import {
  DEAF_MS,
  LEASE_MS,
  LeaseMembership,
  type OwnFacts,
  RENEW_MS,
} from '../../../../src/balancer/membership/LeaseMembership.js';
import { leaseName, readLease } from '../../../../src/balancer/membership/leases.js';
import type { MembershipView } from '../../../../src/balancer/membership/Member.js';
import { cidr, ip } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';

const FACTS: OwnFacts = {
  address: ip('192.0.2.1'),
  macs: [Uint8Array.of(2, 0, 0, 0, 0, 1)],
  subnets: [cidr('192.0.2.0/24')],
  advertises: new Map([['lan', 'preferred']]),
};

const ALL: ReadonlySet<string> = new Set(['node1', 'node2', 'node3']);

/** An API server that holds Leases and delivers them to who is connected. */
class Leases {
  readonly requests: string[] = [];
  readonly objects = new Map<string, Record<string, unknown>>();
  readonly followers = new Map<LeaseMembership, boolean>();
  status = 0;
  #version = 0;

  deleteAll(): void {
    const gone = [...this.objects.values()];
    this.objects.clear();
    for (const [membership, connected] of this.followers)
      if (connected) for (const each of gone) membership.remove(each);
  }

  api = {
    server: 'https://api.test',
    send: async (method: 'POST' | 'PATCH', path: string, body: unknown): Promise<number> => {
      this.requests.push(`${method} ${path}`);
      if (this.status === -1) throw new Error('no answer');
      if (this.status > 0) return this.status;
      const object = body as { metadata: { name: string } };
      const { name } = object.metadata;
      if (method === 'PATCH' && !this.objects.has(name)) return 404;
      if (method === 'POST' && this.objects.has(name)) return 409;
      const stored = {
        ...object,
        metadata: { ...object.metadata, resourceVersion: String(++this.#version) },
      };
      this.objects.set(name, stored);
      for (const [membership, connected] of this.followers) if (connected) membership.upsert(stored);
      return method === 'POST' ? 201 : 200;
    },
  };
}

function join(
  leases: Leases,
  clock: FakeClock,
  node: string,
  facts: () => OwnFacts = () => FACTS,
  heard: () => ReadonlySet<string> = () => ALL,
) {
  const views: MembershipView[] = [];
  const renewed: number[] = [];
  const troubles: (string | undefined)[] = [];
  const deafness: boolean[] = [];
  const membership = new LeaseMembership({
    api: leases.api,
    namespace: 'kube-system',
    node,
    clock,
    random: () => 0.5,
    wallClock: () => 1_700_000_000_123,
    facts,
    heard,
    onView: (view) => views.push(view),
    onRenewed: (sentAt) => renewed.push(sentAt),
    now: () => clock.now(),
    onDeaf: (deaf) => deafness.push(deaf),
    onTrouble: (why) => troubles.push(why),
  });
  leases.followers.set(membership, true);
  const fresh = () =>
    [...(views.at(-1)?.members.values() ?? [])]
      .filter((each) => each.fresh)
      .map(({ name }) => name)
      .sort();
  const saidDeaf = () =>
    [...(views.at(-1)?.members.values() ?? [])].filter(({ deaf }) => deaf).map(({ name }) => name);
  return {
    membership,
    views,
    renewed,
    troubles,
    deafness,
    saidDeaf,
    fresh,
    connected: () => views.at(-1)?.connected,
  };
}

t.test('a Lease says what there is to know of its node', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  const { membership } = join(leases, clock, 'node1');
  membership.start();
  await clock.pass(10);
  const [lease] = leases.objects.values();
  t.match(lease, {
    metadata: {
      name: leaseName('node1'),
      namespace: 'kube-system',
      labels: { 'penstock.io/component': 'balancer' },
    },
    spec: { holderIdentity: 'node1', leaseDurationSeconds: 6, renewTime: '2023-11-14T22:13:20.123000Z' },
  });
  t.same(readLease(lease)?.member, { name: 'node1', ...FACTS });
  await membership.stop();
});

t.test('idle, half a request a second', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  const { membership, renewed } = join(leases, clock, 'node1');
  membership.start();
  await clock.pass(100_500);
  t.equal(leases.requests.length, 47, 'with the first, which makes it: 46 in 100 s');
  t.equal(leases.requests[1]?.split(' ')[0], 'POST');
  t.same(renewed.slice(0, 3), [0, RENEW_MS, 2 * RENEW_MS]);
  await membership.stop();
});

t.test('who does not renew is no candidate any more, and is remembered', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  const [a, b] = [join(leases, clock, 'node1'), join(leases, clock, 'node2')];
  a.membership.start();
  b.membership.start();
  await clock.pass(1000);
  t.same(a.fresh(), ['node1', 'node2']);
  await b.membership.stop();
  await clock.pass(LEASE_MS - 1500);
  t.same(a.fresh(), ['node1', 'node2']);
  await clock.pass(2000);
  t.same(a.fresh(), ['node1']);
  t.ok(a.views.at(-1)?.members.get('node2')?.macs.length === 1, 'its hardware address is known');
  await a.membership.stop();
});

t.test('Leases that somebody deletes are written anew at once, and no candidate goes for it', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  const all = ['node1', 'node2', 'node3'].map((name) => join(leases, clock, name));
  for (const { membership } of all) membership.start();
  await clock.pass(1000);
  const [views, requests] = [all.map((each) => each.views.length), leases.requests.length];
  leases.deleteAll();
  await clock.pass(1);
  t.equal(leases.objects.size, 3);
  t.equal(leases.requests.length - requests, 6, 'each has asked for its own, and made it');
  await clock.pass(20_000);
  t.same(
    all.map((each) => each.views.length),
    views,
    'nobody has seen another view',
  );
  // One that does not come back.
  const [a, b, c] = all as [(typeof all)[0], (typeof all)[0], (typeof all)[0]];
  await c.membership.stop();
  leases.deleteAll();
  await clock.pass(LEASE_MS - RENEW_MS - 500);
  t.same(a.fresh(), ['node1', 'node2', 'node3']);
  await clock.pass(RENEW_MS + 1000);
  t.same(
    [a.fresh(), b.fresh()],
    [
      ['node1', 'node2'],
      ['node1', 'node2'],
    ],
  );
  await a.membership.stop();
  await b.membership.stop();
});

t.test('without the API server the view is frozen; afterwards everybody has time to be seen', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  const [a, b] = [join(leases, clock, 'node1'), join(leases, clock, 'node2')];
  a.membership.start();
  b.membership.start();
  await clock.pass(5000);
  leases.status = -1;
  await clock.pass(3_600_000);
  t.same(a.fresh(), ['node1', 'node2']);
  t.equal(a.connected(), false);
  t.same(a.troubles, ['no answer']);
  leases.status = 0;
  await clock.pass(2500);
  t.equal(a.connected(), true);
  t.same(a.fresh(), ['node1', 'node2']);
  t.same(a.troubles, ['no answer', undefined]);
  await clock.pass(10_000);
  t.same(a.fresh(), ['node1', 'node2']);
  await a.membership.stop();
  await b.membership.stop();
});

t.test('a watch that is silent freezes the view, though renewing works', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  const [a, b] = [join(leases, clock, 'node1'), join(leases, clock, 'node2')];
  a.membership.start();
  b.membership.start();
  await clock.pass(5000);
  leases.followers.set(a.membership, false);
  await clock.pass(60_000);
  t.equal(a.connected(), false);
  t.same(a.fresh(), ['node1', 'node2'], 'nobody is taken for dead whom it only does not see');
  t.same(b.fresh(), ['node1', 'node2'], 'the others see it renew');
  await a.membership.stop();
  await b.membership.stop();
});

t.test('who leaves is no candidate at once; its own view keeps it until it ends', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  const [a, b] = [join(leases, clock, 'node1'), join(leases, clock, 'node2')];
  a.membership.start();
  b.membership.start();
  await clock.pass(1000);
  await b.membership.leave();
  t.same([...(a.views.at(-1)?.members.get('node2')?.advertises ?? [])], []);
  t.equal(b.views.at(-1)?.members.get('node2')?.advertises?.size, 1);
  await a.membership.stop();
  await b.membership.stop();
});

t.test('changed facts are told at once', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  let facts = FACTS;
  const [a, b] = [join(leases, clock, 'node1', () => facts), join(leases, clock, 'node2')];
  a.membership.start();
  b.membership.start();
  await clock.pass(1000);
  facts = { ...FACTS, advertises: new Map() };
  a.membership.factsChanged();
  await clock.pass(1);
  t.equal(b.views.at(-1)?.members.get('node1')?.advertises?.size, 0);
  await a.membership.stop();
  await b.membership.stop();
});

t.test('a node that hears none of several others says so, and when it hears one again', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  let heard: ReadonlySet<string> = new Set();
  const [a, b, c] = [
    join(
      leases,
      clock,
      'node1',
      () => FACTS,
      () => heard,
    ),
    join(leases, clock, 'node2'),
    join(leases, clock, 'node3'),
  ];
  a.membership.start();
  b.membership.start();
  await clock.pass(20_000);
  t.same(a.saidDeaf(), [], 'of two nodes nobody can tell whether one is deaf or the other mute');
  c.membership.start();
  await clock.pass(DEAF_MS - 500);
  t.same(b.saidDeaf(), [], 'not at once');
  await clock.pass(1500);
  for (const each of [a, b, c]) t.same(each.saidDeaf(), ['node1']);
  leases.status = -1;
  await clock.pass(20_000);
  leases.status = 0;
  await clock.pass(3000);
  t.same(a.saidDeaf(), ['node1'], 'while the API server is away nothing is learned');
  heard = new Set(['node3']);
  await clock.pass(600);
  for (const each of [a, b, c]) t.same(each.saidDeaf(), []);
  t.same(a.deafness, [true, false]);
  t.same([...b.deafness, ...c.deafness], []);
  heard = new Set();
  await clock.pass(DEAF_MS + 1000);
  t.same(b.saidDeaf(), ['node1']);
  await c.membership.stop();
  await clock.pass(2 * LEASE_MS + 1000);
  t.same(b.saidDeaf(), [], 'the third has died: again nobody can tell');
  await a.membership.stop();
  await b.membership.stop();
});

t.test('a refusal says what to do', async (t) => {
  const [leases, clock] = [new Leases(), new FakeClock()];
  leases.status = 403;
  const { membership, troubles } = join(leases, clock, 'node1');
  membership.start();
  await clock.pass(10_000);
  t.equal(troubles.length, 1, 'once');
  t.match(troubles[0], /answered 403 .*give the account create, patch, list and watch on leases/);
  await membership.stop();
});

t.test('what is no Lease of a node', async (t) => {
  const good = { metadata: { name: leaseName('a'), annotations: {} }, spec: { holderIdentity: 'a' } };
  t.ok(readLease(good));
  for (const bad of [
    undefined,
    null,
    [],
    'x',
    {},
    { metadata: {} },
    { ...good, spec: {} },
    { ...good, spec: { holderIdentity: 7 } },
    { ...good, spec: { holderIdentity: 'b' } },
  ])
    t.equal(readLease(bad), undefined, JSON.stringify(bad));
  const odd = {
    ...good,
    metadata: {
      ...good.metadata,
      annotations: {
        'penstock.io/address': 'x',
        'penstock.io/macs': `zz,020000000001,${'0'.repeat(5000)}`,
        'penstock.io/subnets': 'x,192.0.2.0/24',
        'penstock.io/advertises': '{"a":"candidate","b":"king","__proto__":"candidate"}',
      },
    },
  };
  t.match(readLease(odd)?.member, { address: undefined, subnets: ['192.0.2.0/24'] });
  t.equal(readLease(odd)?.member.macs.length, 1);
  t.equal(readLease(odd)?.member.advertises?.get('b'), undefined);
  for (const text of ['', '{', '[]', '7', 'null'])
    t.equal(
      readLease({ ...good, metadata: { ...good.metadata, annotations: { 'penstock.io/advertises': text } } })
        ?.member.advertises?.size,
      0,
      text,
    );
});

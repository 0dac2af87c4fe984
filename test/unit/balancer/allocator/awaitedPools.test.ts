/** Pools that are not there yet, or not for a moment: nobody loses an address before it is certain that they are gone. */
import t from 'tap';
import { AllocatorCluster, OWN_POOLS } from '../../../support/balancer/AllocatorCluster.js';
import type { RawApiObject } from '../../../support/FakeApiServer.js';

const had = (ip: string) => ({ status: { loadBalancer: { ingress: [{ ip, ipMode: 'VIP' }] } } });
const LONG = 1_200_000;

/** Opened long ago with a pool, of which Service a has the first address. */
async function openWithAddress(): Promise<AllocatorCluster> {
  const cluster = new AllocatorCluster();
  cluster.pool('lan', '192.0.2.10-192.0.2.20');
  cluster.service('a', had('192.0.2.10'));
  cluster.open('one');
  await cluster.clock.pass(100_000);
  return cluster;
}

t.test('an allocator that begins before its pools leaves every Service its address', async (t) => {
  for (const definitions of ['there', 'missing', 'forbidden'] as const) {
    const cluster = new AllocatorCluster();
    cluster.service('old', had('192.0.2.10'));
    if (definitions !== 'there') cluster.withoutPools(definitions === 'missing' ? 404 : 403, 100_000);
    cluster.open('one');
    await cluster.clock.pass(LONG);
    t.same(cluster.writes, [], definitions);
    t.same(cluster.told, [
      'Warning AllocationFailed old: there is no pool of addresses (IPAddressPool); it keeps 192.0.2.10 until there is one',
    ]);
    cluster.withoutPools(404, 0);
    cluster.service('new');
    cluster.pool('lan', '192.0.2.10-192.0.2.20');
    await cluster.clock.pass(20_000);
    t.same(cluster.addresses(), { old: '192.0.2.10', new: '192.0.2.11' }, 'soon after the pools are there');
    await cluster.clock.pass(LONG);
    t.same(cluster.writes, ['one new']);
    await cluster.close();
    t.equal(cluster.clock.waiting, 0, 'no timer is left');
  }
});

t.test('of several pools one comes late: its addresses are kept for a minute after the last', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.pool('first', '198.51.100.0/24');
  cluster.service('late', had('192.0.2.10'));
  cluster.service('stray', had('203.0.113.1'));
  cluster.open('one');
  await cluster.clock.pass(50_000);
  cluster.pool('second', '192.0.2.10-192.0.2.20');
  await cluster.clock.pass(50_000);
  t.same(cluster.writes, []);
  await cluster.clock.pass(15_000);
  t.match(
    cluster.addresses(),
    { late: '192.0.2.10', stray: /^(192|198)/ },
    'then what no pool has is given back',
  );
  t.same(cluster.writes, ['one stray']);
  await cluster.close();
});

t.test('a pool that cannot be read at the start is not one that is gone', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.pool('lan', '192.0.2.10-192.0.2');
  cluster.pool('other', '198.51.100.0/24');
  cluster.service('a', had('192.0.2.10'));
  cluster.open('one');
  await cluster.clock.pass(LONG);
  t.same([cluster.writes, cluster.told.length], [[], 1]);
  t.match(cluster.told, [/192.0.2.10 is in no pool that can be read; it keeps 192.0.2.10/]);
  cluster.removePool('lan');
  await cluster.clock.pass(LONG);
  t.match(cluster.addresses(), { a: /^198/ });
  await cluster.close();
});

t.test(
  'pools that are known stay known while they may not be read, or are missing for a moment',
  async (t) => {
    const cluster = await openWithAddress();
    cluster.withoutPools(403, 100_000);
    await cluster.clock.pass(LONG);
    t.same(cluster.writes, [], 'a right that was taken away says nothing about the pools');
    cluster.withoutPools(404, 2);
    await cluster.clock.pass(200_000);
    t.same(cluster.writes, [], 'the API server was started again');
    cluster.withoutPools(404, 100_000);
    await cluster.clock.pass(110_000);
    t.same(cluster.writes, []);
    await cluster.clock.pass(200_000);
    t.same(cluster.addresses(), { a: '' }, 'the definition was deleted, and the pools with it');
    await cluster.close();
  },
);

t.test(
  'a pool that is given another name takes nothing back; one that is deleted does, after a minute',
  async (t) => {
    const cluster = await openWithAddress();
    cluster.removePool('lan');
    await cluster.clock.pass(30_000);
    cluster.service('new');
    await cluster.clock.pass(5000);
    t.same(cluster.addresses(), { a: '192.0.2.10', new: '' }, 'what is gone gives nothing');
    cluster.pool('net', '192.0.2.10-192.0.2.20');
    await cluster.clock.pass(LONG);
    t.same(cluster.addresses(), { a: '192.0.2.10', new: '192.0.2.11' });
    t.same(cluster.writes, ['one new']);
    cluster.removePool('net');
    await cluster.clock.pass(58_000);
    t.same(cluster.writes, ['one new']);
    await cluster.clock.pass(4000);
    t.same(cluster.addresses(), { a: '', new: '' });
    await cluster.close();
  },
);

t.test('of two pools of one name, one of each group, one goes: the other gives on', async (t) => {
  const own = {
    apiVersion: 'penstock.io/v1alpha1',
    kind: 'IPAddressPool',
    metadata: { name: 'lan', namespace: 'lb' },
    spec: { addresses: ['192.0.2.10-192.0.2.20'] },
  };
  for (const goes of ['metallb.io', 'penstock.io']) {
    const cluster = new AllocatorCluster();
    cluster.pool('lan', '192.0.2.10-192.0.2.20');
    cluster.server.put(OWN_POOLS, own);
    cluster.service('a', had('192.0.2.10'));
    cluster.open('one');
    await cluster.clock.pass(100_000);
    if (goes === 'metallb.io') cluster.removePool('lan');
    else cluster.server.delete(OWN_POOLS, own);
    await cluster.clock.pass(LONG);
    cluster.service('new');
    await cluster.clock.pass(5000);
    t.same(cluster.addresses(), { a: '192.0.2.10', new: '192.0.2.11' }, `without that of ${goes}`);
    cluster.server.delete(OWN_POOLS, own);
    cluster.removePool('lan');
    await cluster.clock.pass(70_000);
    t.same(cluster.addresses(), { a: '', new: '' }, 'without both');
    await cluster.close();
  }
});

t.test('of two pools of one name that of penstock.io counts, whichever comes last', async (t) => {
  for (const last of ['metallb.io', 'penstock.io']) {
    const cluster = new AllocatorCluster();
    cluster.open('one');
    await cluster.clock.pass(1000);
    if (last === 'penstock.io') cluster.pool('lan', '198.51.100.10');
    cluster.server.put(OWN_POOLS, {
      apiVersion: 'penstock.io/v1alpha1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan', namespace: 'lb' },
      spec: { addresses: ['192.0.2.10'] },
    } as RawApiObject);
    await cluster.clock.pass(1000);
    if (last === 'metallb.io') cluster.pool('lan', '198.51.100.10');
    await cluster.clock.pass(1000);
    cluster.service('new');
    await cluster.clock.pass(5000);
    t.same(cluster.addresses(), { new: '192.0.2.10' });
    await cluster.close();
  }
});

t.test('a Service of both families keeps both addresses while the pools of both are missing', async (t) => {
  const cluster = new AllocatorCluster();
  const both = ['192.0.2.10', '2001:db8::a'];
  const pools = () => {
    cluster.pool('lan4', '192.0.2.10-192.0.2.20');
    cluster.pool('lan6', '2001:db8::a-2001:db8::f');
  };
  pools();
  cluster.service('a', {
    spec: {
      type: 'LoadBalancer',
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
      ports: [{ port: 80 }],
    },
    status: { loadBalancer: { ingress: both.map((ip) => ({ ip, ipMode: 'VIP' })) } },
  });
  cluster.open('one');
  await cluster.clock.pass(100_000);
  cluster.removePool('lan4');
  cluster.removePool('lan6');
  await cluster.clock.pass(50_000);
  t.same([cluster.writes, cluster.told], [[], []]);
  pools();
  await cluster.clock.pass(LONG);
  t.same([cluster.writes, cluster.told], [[], []]);
  cluster.removePool('lan4');
  cluster.removePool('lan6');
  await cluster.clock.pass(70_000);
  t.same(cluster.addresses(), { a: '' }, 'after a minute they are gone');
  await cluster.close();
});

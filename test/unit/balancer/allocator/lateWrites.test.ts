/** Statuses whose write is on its way, or is refused, while the address becomes another's: never do two Services have one. */
import t from 'tap';
import { AllocatorCluster, POOLS, SERVICES } from '../../../support/balancer/AllocatorCluster.js';
import type { RawApiObject } from '../../../support/FakeApiServer.js';

const ADDRESS = '192.0.2.10';
const had = { status: { loadBalancer: { ingress: [{ ip: ADDRESS, ipMode: 'VIP' }] } } };

/** One address, for Services with this label. */
function poolFor(cluster: AllocatorCluster, app: string): void {
  cluster.server.put(POOLS, {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { name: 'lan', namespace: 'lb' },
    spec: {
      addresses: [`${ADDRESS}/32`],
      serviceAllocation: { serviceSelectors: [{ matchLabels: { app } }] },
    },
  } as RawApiObject);
}

function labelled(cluster: AllocatorCluster, name: string, more: object = {}): void {
  cluster.service(name, { metadata: { name, namespace: 'a', labels: { app: name } }, ...more });
}

async function open(begins: 'with the address' | 'without'): Promise<AllocatorCluster> {
  const cluster = new AllocatorCluster();
  poolFor(cluster, 's');
  labelled(cluster, 't');
  if (begins === 'with the address') labelled(cluster, 's', had);
  cluster.open('one');
  await cluster.clock.pass(100_000);
  return cluster;
}

t.test(
  'what is on its way to a Service is given to no other before it is known what became of it',
  async (t) => {
    for (const [what, late, until] of [
      ['taken late', { takenMs: 5000, answeredMs: 5010 }, 10_000],
      ['answered late', { takenMs: 10, answeredMs: 8000 }, 12_000],
      ['taken after it was given up', { takenMs: 20_000, answeredMs: 10_000 }, 25_000],
      ['never taken', { takenMs: 1e9, answeredMs: 10_000 }, 80_000],
    ] as const) {
      const cluster = await open('without');
      cluster.late.set('s', late);
      labelled(cluster, 's');
      await cluster.clock.pass(1000);
      cluster.late.clear();
      poolFor(cluster, 't');
      await cluster.clock.pass(until);
      t.same(cluster.twice, [], what);
      t.same(cluster.addresses(), { s: '', t: ADDRESS }, what);
      await cluster.close();
    }
  },
);

t.test('what the server does not let be taken away is given to nobody else', async (t) => {
  const cluster = await open('with the address');
  cluster.refuses.set('s', 422);
  poolFor(cluster, 't');
  await cluster.clock.pass(300_000);
  t.same([cluster.twice, cluster.addresses()], [[], { s: ADDRESS, t: '' }]);
  t.ok(cluster.told.includes('Warning AllocationFailed t: no address of IPv4 is free in lan'));
  cluster.refuses.clear();
  await cluster.clock.pass(120_000);
  t.same([cluster.twice, cluster.addresses()], [[], { s: '', t: ADDRESS }]);
  await cluster.close();
});

t.test('a pool that comes back to who had it leaves it there', async (t) => {
  const cluster = await open('with the address');
  cluster.refuses.set('s', 503);
  poolFor(cluster, 't');
  await cluster.clock.pass(2000);
  poolFor(cluster, 's');
  cluster.refuses.clear();
  await cluster.clock.pass(120_000);
  t.same([cluster.twice, cluster.addresses()], [[], { s: ADDRESS, t: '' }]);
  await cluster.close();
});

t.test('a Service that is deleted while its write is on its way frees the address at once', async (t) => {
  const cluster = await open('without');
  cluster.late.set('s', { takenMs: 5000, answeredMs: 5010 });
  labelled(cluster, 's');
  await cluster.clock.pass(1000);
  poolFor(cluster, 't');
  cluster.server.delete(SERVICES, { metadata: { name: 's', namespace: 'a' } });
  await cluster.clock.pass(1000);
  t.same(cluster.addresses(), { t: ADDRESS });
  await cluster.clock.pass(10_000);
  t.same([cluster.twice, cluster.addresses()], [[], { t: ADDRESS }]);
  await cluster.close();
});

t.test(
  'a Service that is no LoadBalancer any more loses its status, whatever else changes meanwhile',
  async (t) => {
    const cluster = await open('with the address');
    cluster.refuses.set('s', 503);
    const spec = { type: 'ClusterIP', ipFamilies: ['IPv4'], ports: [{ port: 80 }] };
    labelled(cluster, 's', { ...had, spec });
    await cluster.clock.pass(2000);
    cluster.service('s', {
      metadata: { name: 's', namespace: 'a', labels: { app: 's', more: '1' } },
      ...had,
      spec,
    });
    await cluster.clock.pass(2000);
    cluster.refuses.clear();
    poolFor(cluster, 't');
    await cluster.clock.pass(120_000);
    t.same([cluster.twice, cluster.addresses()], [[], { s: '', t: ADDRESS }]);
    await cluster.close();
  },
);

t.test('many that lose what many wait for', async (t) => {
  const cluster = new AllocatorCluster();
  const pool = (app: string) =>
    cluster.server.put(POOLS, {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan', namespace: 'lb' },
      spec: {
        addresses: ['192.0.2.0-192.0.2.199'],
        serviceAllocation: { serviceSelectors: [{ matchLabels: { app } }] },
      },
    } as RawApiObject);
  for (const app of ['s', 't'])
    for (let i = 0; i < 200; i++)
      cluster.service(`${app}${i}`, { metadata: { name: `${app}${i}`, namespace: 'a', labels: { app } } });
  pool('s');
  cluster.open('one');
  await cluster.clock.pass(100_000);
  t.equal(Object.values(cluster.addresses()).filter(Boolean).length, 200);
  pool('t');
  await cluster.clock.pass(60_000);
  const given = Object.entries(cluster.addresses()).filter(([, ip]) => ip !== '');
  t.ok(given.every(([name]) => name.startsWith('t')));
  t.equal(given.length, 200);
  t.same(cluster.twice, []);
  await cluster.close();
});

t.test(
  'an allocator that starts takes the address of a Service that is being deleted before it gives it',
  async (t) => {
    const cluster = new AllocatorCluster();
    poolFor(cluster, 't');
    labelled(cluster, 't');
    const deletionTimestamp = '2026-01-01T00:00:00Z';
    const metadata = {
      name: 's',
      namespace: 'a',
      labels: { app: 's' },
      deletionTimestamp,
      finalizers: ['a/b'],
    };
    cluster.service('s', { metadata, ...had });
    cluster.refuses.set('s', 503);
    cluster.open('one');
    await cluster.clock.pass(100_000);
    t.same([cluster.twice, cluster.addresses()], [[], { s: ADDRESS, t: '' }]);
    cluster.refuses.clear();
    await cluster.clock.pass(120_000);
    t.same([cluster.twice, cluster.addresses()], [[], { s: '', t: ADDRESS }]);
    await cluster.close();
  },
);

/** Writes of statuses that wait while what they would write is decided otherwise, or while the Service goes. */
import t from 'tap';
import { AllocatorCluster } from '../../../support/balancer/AllocatorCluster.js';

const HANGS = 0;
const had = (ip: string) => ({ status: { loadBalancer: { ingress: [{ ip, ipMode: 'VIP' }] } } });

t.test('an edit of a pool that is taken back before its write succeeds gives no address twice', async (t) => {
  // What got no answer of the server itself may still be taken: who comes meanwhile gets another address.
  for (const [status, other] of [
    [422, '192.0.2.10'],
    [503, '192.0.2.11'],
    [HANGS, '192.0.2.11'],
  ] as const) {
    const cluster = new AllocatorCluster();
    cluster.pool('lan', '192.0.2.10-192.0.2.18');
    cluster.service('s', had('192.0.2.18'));
    cluster.open('one');
    await cluster.clock.pass(100_000);
    cluster.refuses.set('s', status);
    cluster.pool('lan', '192.0.2.10-192.0.2.11');
    await cluster.clock.pass(5000);
    t.equal(cluster.addresses().s, '192.0.2.18');
    cluster.pool('lan', '192.0.2.10-192.0.2.18');
    await cluster.clock.pass(1000);
    cluster.service('t');
    await cluster.clock.pass(4000);
    t.same(cluster.addresses(), { s: '192.0.2.18', t: other });
    await cluster.clock.pass(6000);
    cluster.refuses.clear();
    const tries = cluster.writes.length;
    await cluster.clock.pass(120_000);
    t.same(cluster.addresses(), { s: '192.0.2.18', t: other }, `answered ${status}`);
    t.equal(cluster.writes.length, tries, 'what is right is not written');
    await cluster.close();
    t.equal(cluster.clock.waiting, 0, 'no timer is left');
  }
});

t.test('who takes over writes nothing for Services that the other served, or that are gone', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.pool('lan', '192.0.2.0/24');
  const one = cluster.open('one');
  await cluster.clock.pass(1000);
  cluster.open('two');
  await cluster.clock.pass(1000);
  for (let i = 0; i < 50; i++) cluster.service(`s${i}`);
  cluster.refuses.set('never', 422);
  cluster.service('never');
  await cluster.clock.pass(10_000);
  for (const name of [...Array.from({ length: 25 }, (_, i) => `s${i}`), 'never'])
    cluster.server.delete('/api/v1/services', { metadata: { name, namespace: 'a' } });
  await cluster.clock.pass(5000);
  t.equal(cluster.writes.filter((text) => text.startsWith('one')).length, 50);
  await one.stop();
  cluster.service('last');
  await cluster.clock.pass(60_000);
  t.same(
    cluster.patches.filter((text) => text.startsWith('two')),
    ['two last'],
  );
  await cluster.close();
});

t.test(
  'why there is no address is said once by who takes over, though it was decided again meanwhile',
  async (t) => {
    const cluster = new AllocatorCluster();
    const one = cluster.open('one');
    await cluster.clock.pass(1000);
    cluster.open('two');
    await cluster.clock.pass(70_000);
    cluster.service('poor');
    await cluster.clock.pass(5000);
    cluster.service('poor', { metadata: { name: 'poor', namespace: 'a', annotations: { some: 'change' } } });
    await cluster.clock.pass(5000);
    t.equal(cluster.told.length, 1);
    await one.stop();
    await cluster.clock.pass(60_000);
    t.equal(cluster.told.length, 2);
    t.match(cluster.told, [
      /AllocationFailed poor: there is no pool/,
      /AllocationFailed poor: there is no pool/,
    ]);
    await cluster.close();
  },
);

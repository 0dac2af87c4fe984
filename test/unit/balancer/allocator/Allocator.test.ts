/** The allocator over a small API server: what it writes, when, and that two of them and lost answers do no harm. */
import t from 'tap';
import { EXPIRES_MS } from '../../../../src/balancer/allocator/Leadership.js';
import { AllocatorCluster, SERVICES } from '../../../support/balancer/AllocatorCluster.js';

t.test('gives addresses once everything is known, tells it, and writes nothing twice', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.pool('lan', '192.0.2.10-192.0.2.20');
  cluster.service('old', { status: { loadBalancer: { ingress: [{ ip: '192.0.2.10', ipMode: 'VIP' }] } } });
  cluster.service('new');
  cluster.open('one');
  await cluster.clock.pass(5000);
  t.same(cluster.addresses(), { old: '192.0.2.10', new: '192.0.2.11' });
  t.same(cluster.writes, ['one new']);
  t.same(cluster.told, ['Normal IPAllocated new: 192.0.2.11 of pool lan']);
  await cluster.clock.pass(600_000);
  t.same(cluster.writes, ['one new'], 'nothing is written without a reason');
  await cluster.close();
  t.equal(cluster.clock.waiting, 0, 'no timer is left');
});

t.test('a Service without an address says why, once', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.service('poor');
  cluster.open('one');
  await cluster.clock.pass(60_000);
  t.same(cluster.told, ['Warning AllocationFailed poor: there is no pool of addresses (IPAddressPool)']);
  cluster.pool('lan', '192.0.2.10');
  await cluster.clock.pass(5000);
  t.same(cluster.addresses(), { poor: '192.0.2.10' });
  await cluster.close();
});

t.test('of two only one writes; the other goes on when the first is gone', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.pool('lan', '192.0.2.10-192.0.2.20');
  const one = cluster.open('one');
  await cluster.clock.pass(1000);
  const two = cluster.open('two');
  cluster.service('a');
  await cluster.clock.pass(30_000);
  t.same(cluster.writes, ['one a']);
  t.same([one.leads(), two.leads()], [true, false]);
  await one.stop();
  cluster.service('b');
  await cluster.clock.pass(5000);
  t.same(cluster.writes, ['one a', 'two b']);
  t.same(cluster.addresses(), { a: '192.0.2.10', b: '192.0.2.11' });
  await cluster.close();
});

t.test('a holder that dies is followed after the Lease has run out, not before', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.lease = { metadata: { resourceVersion: '7' }, spec: { holderIdentity: 'dead' } };
  cluster.pool('lan', '192.0.2.10');
  cluster.service('a');
  const one = cluster.open('one');
  await cluster.clock.pass(EXPIRES_MS - 3000);
  t.equal(one.leads(), false);
  await cluster.clock.pass(6000);
  t.equal(one.leads(), true);
  t.same(cluster.addresses(), { a: '192.0.2.10' });
  await cluster.close();
});

t.test('a write that crosses another is decided anew; an outage is said once and heals', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.pool('lan', '192.0.2.10');
  const troubles: (string | undefined)[] = [];
  const one = cluster.open('one', { trouble: (why) => troubles.push(why) });
  await cluster.clock.pass(3000);
  cluster.away = true;
  cluster.service('a');
  await cluster.clock.pass(60_000);
  t.equal(one.leads(), false, 'who cannot renew does not lead');
  t.same(cluster.writes, []);
  cluster.away = false;
  await cluster.clock.pass(60_000);
  t.same(cluster.addresses(), { a: '192.0.2.10' });
  t.ok(troubles.length <= 4, JSON.stringify(troubles));
  t.equal(troubles.at(-1), undefined);
  await cluster.close();
});

t.test(
  'a Service whose status is refused keeps no other waiting, and is tried again by itself',
  async (t) => {
    for (const status of [403, 422, 500]) {
      const cluster = new AllocatorCluster();
      cluster.pool('lan', '192.0.2.10-192.0.2.19');
      const troubles: (string | undefined)[] = [];
      cluster.open('one', { trouble: (why) => troubles.push(why) });
      await cluster.clock.pass(1000);
      cluster.refuses.set('bad', status).set('worse', status);
      cluster.service('bad');
      cluster.service('worse');
      await cluster.clock.pass(120_000);
      const tries = cluster.writes.length;
      t.ok(tries > 4 && tries < 40, `${tries} tries in two minutes`);
      cluster.service('good');
      await cluster.clock.pass(100);
      t.match(
        cluster.addresses().good,
        /^192\.0\.2\.1\d$/,
        'at once, though both others wait for half a minute',
      );
      t.equal(
        cluster.told.filter((text) => /AllocationFailed bad: .*answered/.test(text)).length,
        1,
        'said once',
      );
      t.same(troubles, [], 'the server has no trouble');
      cluster.refuses.delete('bad');
      await cluster.clock.pass(60_000);
      t.match(cluster.addresses().bad, /^192\.0\.2\.1\d$/, 'tried again');
      t.equal(cluster.addresses().worse, '');
      let answer = () => {};
      cluster.statusStalls = new Promise((resolve) => {
        answer = resolve;
      });
      cluster.refuses.set('late', status);
      cluster.service('late');
      await cluster.clock.pass(100);
      const closed = cluster.close();
      answer();
      await closed;
      t.ok(cluster.writes.includes('late refused'));
      t.equal(cluster.clock.waiting, 0, 'no timer is left, also of what was refused at the end');
    }
  },
);

t.test('the address of a node stays its own when the object that named it before goes', async (t) => {
  const cluster = new AllocatorCluster();
  const node = (name: string) => ({
    metadata: { name },
    status: { addresses: [{ type: 'InternalIP', address: '192.0.2.10' }] },
  });
  cluster.pool('lan', '192.0.2.10-192.0.2.11');
  cluster.server.put('/api/v1/nodes', node('before'));
  cluster.open('one');
  await cluster.clock.pass(1000);
  cluster.server.put('/api/v1/nodes', node('after'));
  await cluster.clock.pass(1000);
  cluster.server.delete('/api/v1/nodes', node('before'));
  await cluster.clock.pass(1000);
  cluster.service('new');
  cluster.service('thief', {
    metadata: { name: 'thief', namespace: 'a', annotations: { 'metallb.io/loadBalancerIPs': '192.0.2.10' } },
  });
  await cluster.clock.pass(5000);
  t.same(cluster.addresses(), { new: '192.0.2.11', thief: '' });
  t.ok(cluster.told.includes('Warning AllocationFailed thief: 192.0.2.10 belongs to the node after'));
  cluster.server.delete('/api/v1/nodes', node('after'));
  await cluster.clock.pass(5000);
  t.same(cluster.addresses(), { new: '192.0.2.11', thief: '192.0.2.10' }, 'and is free when nobody names it');
  await cluster.close();
});

t.test('who waits for an answer about the Lease until it has run out writes nothing', async (t) => {
  const cluster = new AllocatorCluster();
  cluster.pool('lan', '192.0.2.10');
  const one = cluster.open('one');
  await cluster.clock.pass(3000);
  t.equal(one.leads(), true);
  let answer = () => {};
  cluster.leaseStalls = new Promise((resolve) => {
    answer = resolve;
  });
  await cluster.clock.pass(EXPIRES_MS + 3000);
  cluster.service('a');
  await cluster.clock.pass(3000);
  t.same([one.leads(), cluster.writes], [false, []]);
  cluster.leaseStalls = undefined;
  answer();
  await cluster.clock.pass(5000);
  t.same([one.leads(), cluster.writes], [true, ['one a']], 'and then what waited');
  await cluster.close();
});

t.test(
  'an address that the status says another machine takes is said to be of the nodes, once',
  async (t) => {
    const cluster = new AllocatorCluster();
    cluster.pool('lan', '192.0.2.10');
    cluster.service('a', { status: { loadBalancer: { ingress: [{ ip: '192.0.2.10', ipMode: 'Proxy' }] } } });
    cluster.open('one');
    await cluster.clock.pass(60_000);
    t.same(cluster.writes, ['one a']);
    t.match(cluster.server.objects(SERVICES), [
      { status: { loadBalancer: { ingress: [{ ip: '192.0.2.10', ipMode: 'VIP' }] } } },
    ]);
    await cluster.close();
  },
);

/** Writes of statuses that fail: what one Service's cost the others, and what a server that has trouble is spared. */
import t from 'tap';
import { AllocatorCluster } from '../../../support/balancer/AllocatorCluster.js';

const HANGS = 0;

/** A new Service of another namespace: milliseconds until it has its address, a minute at most. */
async function waitOf(cluster: AllocatorCluster, name: string): Promise<number> {
  cluster.service(name, { metadata: { name, namespace: 'b' } });
  let waited = 0;
  while (cluster.addresses()[name] === '' && waited < 60_000) {
    await cluster.clock.pass(100);
    waited += 100;
  }
  return waited;
}

/** Opened with one pool; what it says of trouble is added to `troubles`. */
async function openCluster(range: string, troubles: (string | undefined)[] = []): Promise<AllocatorCluster> {
  const cluster = new AllocatorCluster();
  cluster.pool('lan', range);
  cluster.open('one', { trouble: (why) => troubles.push(why) });
  await cluster.clock.pass(1000);
  return cluster;
}

t.test(
  'whatever is answered to the writes of some Services, another is written within three seconds',
  async (t) => {
    for (const status of [429, 502, 503, 504, 401, HANGS])
      for (const count of [1, 2, 40]) {
        const cluster = await openCluster('192.0.2.10-192.0.2.99');
        for (let i = 0; i < count; i++) {
          cluster.refuses.set(`bad${i}`, status);
          cluster.service(`bad${i}`);
        }
        await cluster.clock.pass(120_000);
        const waits: number[] = [];
        for (let i = 0; i < 3; i++) {
          waits.push(await waitOf(cluster, `good${i}`));
          await cluster.clock.pass(7000);
        }
        t.ok(
          Math.max(...waits) <= (status === HANGS ? 3200 : 1200),
          `${count} answered ${status}: waited ${waits} ms`,
        );
        cluster.refuses.clear();
        await cluster.clock.pass(120_000);
        t.match(cluster.addresses().bad0, /^192/, 'and they are written when nothing stands in their way');
        await cluster.close();
        t.equal(cluster.clock.waiting, 0, 'no timer is left');
      }
  },
);

t.test('a Service alone waits as long as it was asked to, and is told of the second time', async (t) => {
  const troubles: (string | undefined)[] = [];
  const cluster = await openCluster('192.0.2.10-192.0.2.99', troubles);
  cluster.refuses.set('bad', 429);
  cluster.retryAfterMs = 20_000;
  cluster.service('bad');
  await cluster.clock.pass(19_000);
  t.same([cluster.writes, cluster.told], [['bad refused'], []]);
  await cluster.clock.pass(61_000);
  t.ok(cluster.writes.length >= 3 && cluster.writes.length <= 4, `${cluster.writes.length} tries in 80 s`);
  t.match(cluster.told, [/AllocationFailed bad: the API server answered 429/]);
  t.equal(cluster.told.length, 1, 'once');
  t.same(troubles, [], 'one Service is no trouble of the server');
  await cluster.close();
});

t.test(
  'a server that has trouble is asked once a second; that is said once, and that it is over',
  async (t) => {
    const troubles: (string | undefined)[] = [];
    const cluster = await openCluster('192.0.2.0/24', troubles);
    for (let i = 0; i < 200; i++) {
      cluster.refuses.set(`s${i}`, 503);
      cluster.service(`s${i}`);
    }
    await cluster.clock.pass(60_000);
    t.ok(cluster.writes.length <= 70, `${cluster.writes.length} tries in a minute for 200 Services`);
    t.match(troubles, [/503/]);
    cluster.refuses.clear();
    await cluster.clock.pass(60_000);
    t.equal(Object.values(cluster.addresses()).filter((text) => text !== '').length, 200);
    t.same([troubles.length, troubles[1]], [2, undefined]);
    await cluster.close();
  },
);

t.test(
  'who makes Services whose writes hang, ever new ones, costs the namespaces of others three seconds',
  async (t) => {
    const cluster = await openCluster('10.0.0.0/16');
    let made = 0;
    const make = () => {
      for (let i = 0; i < 50; i++) {
        cluster.refuses.set(`bad${made}`, HANGS);
        cluster.service(`bad${made++}`);
      }
    };
    const waits: number[] = [];
    for (let i = 0; i < 10; i++) {
      make();
      await cluster.clock.pass(2500);
      waits.push(await waitOf(cluster, `good${i}`));
    }
    t.ok(Math.max(...waits) <= 3200, `waited ${waits} ms`);
    const closed = cluster.close();
    await cluster.clock.pass(10_000);
    await closed;
    t.equal(cluster.clock.waiting, 0, 'no timer is left');
  },
);

t.test('a Service that is only told that there is no address is no answer of the server', async (t) => {
  const troubles: (string | undefined)[] = [];
  const cluster = await openCluster('192.0.2.10-192.0.2.59', troubles);
  for (let i = 0; i < 50; i++) {
    cluster.refuses.set(`s${i}`, 503);
    cluster.service(`s${i}`);
  }
  await cluster.clock.pass(60_000);
  const before = cluster.writes.length;
  for (let i = 0; i < 20; i++) {
    cluster.service(`poor${i}`);
    await cluster.clock.pass(3000);
  }
  t.equal(cluster.told.filter((text) => /poor/.test(text)).length, 20, 'each is told');
  t.equal(troubles.length, 1, 'the trouble is not over');
  t.ok(cluster.writes.length - before <= 60, `${cluster.writes.length - before} tries in a minute`);
  await cluster.close();
});

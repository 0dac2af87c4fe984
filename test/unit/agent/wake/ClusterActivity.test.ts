/** What the Leases of all nodes say together, and when they say nothing. */
import t from 'tap';
import { GONE_MS } from '../../../../src/agent/wake/activityLease.js';
import { testActivity, upsert } from '../../../support/activityLeases.js';
import { FakeClock } from '../../../support/FakeClock.js';

const WEB = 'shop/web';

function world(isRead = true) {
  const clock = new FakeClock();
  const activity = testActivity(clock, () => {}, isRead);
  const active = () => activity.view.of(WEB).active;
  const connections = () => activity.view.of(WEB).connections;
  return { clock, active, connections, ...activity };
}

t.test('who reads everything again learns nothing new of a Lease that did not change', async (t) => {
  const { clock, active, put } = world();
  put('node1', { version: 5, connections: 1 });
  for (let i = 0; i < 3; i++) {
    await clock.pass(GONE_MS / 2);
    put('node1', { version: 5, connections: 1 });
  }
  t.equal(active(), false);
  put('node1', { version: 6, connections: 1 });
  t.equal(active(), true);
});

t.test(
  'a Lease of a node that is gone for long wakes nobody at a start, and is not certain to be dead',
  async (t) => {
    const { clock, active, connections, put, knowledge } = world(false);
    put('node1', { version: 5, connections: 3, date: clock.date() - 30 * 86_400_000 });
    t.equal(active(), undefined, 'nothing is read');
    knowledge.read();
    t.equal(active(), undefined, 'a clock may be wrong: its node has time to write');
    await clock.pass(GONE_MS);
    t.equal(active(), false);
    t.equal(connections(), 0);
    put('node1', { version: 6, connections: 3, date: clock.date() - 30 * 86_400_000 });
    t.equal(active(), true, 'what changes is alive, whatever its clock says');
    const fresh = world(false);
    fresh.put('node1', { connections: 3, date: fresh.clock.date() - 200_000 });
    fresh.knowledge.read();
    t.equal(fresh.connections(), 3, 'clocks differ');
  },
);

t.test('only what there is, is kept', async (t) => {
  const { active, put, view } = world();
  put('node1', { connections: 1 });
  view.take([{ type: 'delete', raw: { metadata: { name: 'penstock-wake.node1' } } }]);
  t.equal(active(), false);
  put('node1', { connections: 1 });
  view.take([{ type: 'upsert', raw: { metadata: { name: 'penstock-wake.node1' } } }]);
  t.equal(active(), false, 'it is no such Lease any more');
});

t.test(
  'while the API server is away nothing is known, and after it what is not seen may come yet',
  async (t) => {
    const { clock, active, connections, put, become } = world();
    put('node1', { connections: 2 });
    become('away');
    await clock.pass(15_000);
    t.equal(connections(), 2, 'a break that is short');
    await clock.pass(10_000);
    t.equal(active(), undefined);
    await clock.pass(300_000);
    t.equal(active(), undefined);
    t.equal(connections(), undefined);
    become('there');
    t.equal(active(), undefined, 'nobody could write');
    put('node1', { connections: 2 });
    t.equal(active(), true, 'who is seen is there');
    t.equal(connections(), undefined, 'there may be more');
    await clock.pass(GONE_MS - 1000);
    put('node1', { connections: 2 });
    await clock.pass(2000);
    t.equal(connections(), 2);
  },
);

t.test('a short break changes nothing', async (t) => {
  const { clock, active, put, become } = world();
  put('node1', {});
  become('away');
  await clock.pass(10_000);
  become('there');
  t.equal(active(), false);
});

t.test('a watch that hangs does not make nodes die', async (t) => {
  const { clock, active, connections, put, become, view } = world();
  put('node1', { connections: 2 });
  become('silent');
  await clock.pass(GONE_MS + 10_000);
  t.equal(connections(), 2);
  t.equal(view.sees('node1'), false, 'an agent does not hear of itself');
  await clock.pass(30_000);
  t.equal(active(), undefined, 'no bookmark comes either');
  become('there');
  t.equal(active(), undefined, 'and when it is back, nodes have time');
  await clock.pass(GONE_MS);
  t.equal(active(), false);
});

t.test('figures that nobody knows are none', async (t) => {
  for (const text of [
    '*',
    'no JSON',
    '[]',
    '{"shop/web":{"connections":1e999}}',
    '{"shop/web":{"connections":1.5}}',
    '{"shop/web":{"connections":-1}}',
    '{"shop/web":{"connections":9007199254740992}}',
    '{"shop/web":{"connections":"3"}}',
    '{"shop/web":{}}',
    '{"shop/other":7}',
  ]) {
    const { active, connections, put, view } = world();
    put('node1', { text });
    put('node2', { connections: 4 });
    t.equal(active(), true, text);
    t.equal(connections(), undefined, text);
    t.match(view.of(WEB).why, /node node1 has too many Services/);
    t.equal(view.of(WEB, 'node1').connections, 4);
  }
});

t.test('a node that has not looked says nothing of what it does not name', async (t) => {
  const { active, connections, put, view } = world();
  put('node1', { text: '{"?":{}}' });
  t.equal(active(), undefined);
  t.match(view.of(WEB).why, /node node1 has not looked/);
  put('node1', { text: '{"?":{},"shop/web":{"connections":0,"waits":true}}' });
  t.equal(active(), true);
  put('node2', { text: '{"?":{}}' });
  t.equal(connections(), undefined);
});

t.test('sums end where numbers are exact', async (t) => {
  const { connections, view, clock } = world();
  const most = { connections: Number.MAX_SAFE_INTEGER, date: clock.date() };
  view.take([upsert('node1', most), upsert('node2', most)]);
  t.equal(connections(), Number.MAX_SAFE_INTEGER);
});

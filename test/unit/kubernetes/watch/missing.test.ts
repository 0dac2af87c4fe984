/** A resource that was there and is answered with 404: when it counts as gone, and when it is found again. */
import t from 'tap';
import { type RawChange, RawStore } from '../../../../src/balancer/allocator/RawStore.js';
import { Outage } from '../../../../src/kubernetes/contact/Outage.js';
import { WatchGroup } from '../../../../src/kubernetes/watch/WatchGroup.js';
import { FakeApiServer } from '../../../support/FakeApiServer.js';
import { FakeClock } from '../../../support/FakeClock.js';

const PATH = '/apis/metallb.io/v1beta1/ipaddresspools';
const HOUR = 3_600_000;

class World {
  readonly clock = new FakeClock();
  readonly fake = new FakeApiServer(this.clock);
  readonly changes: string[] = [];
  readonly #outage = new Outage(this.clock, '', { info: () => {}, warn: () => {} }, () => '');
  readonly #watch = new WatchGroup<RawChange>(
    [
      {
        resource: { title: 'IPAddressPools', path: PATH, query: {}, optional: true },
        store: new RawStore(),
        events: { changes: (batch) => this.changes.push(...batch.map(({ type, key }) => `${type} ${key}`)) },
      },
    ],
    { transport: this.fake, outage: this.#outage, clock: this.clock, random: () => 0.5 },
  );

  async begin(): Promise<void> {
    this.fake.put(PATH, { metadata: { name: 'lan' } });
    this.#watch.start();
    await this.clock.pass(10_000);
  }

  /** The next requests are answered so. */
  answer(...statuses: readonly number[]): void {
    this.fake.faultsAt.set(
      PATH,
      statuses.map((status) => ({ type: 'status', status }) as const),
    );
    this.fake.breakConnections();
  }

  async close(): Promise<void> {
    await this.#watch.stop();
    this.#outage.stop();
  }
}

t.test('one 404 an hour after another takes nothing away', async (t) => {
  const world = new World();
  await world.begin();
  for (let i = 0; i < 3; i++) {
    world.answer(404);
    await world.clock.pass(HOUR);
  }
  t.same(world.changes, ['upsert lan']);
  await world.close();
});

t.test('only 404 without another answer in between says that it is gone', async (t) => {
  const world = new World();
  await world.begin();
  world.answer(...Array.from({ length: 40 }, (_, i) => (i % 2 === 1 ? 503 : 404)));
  await world.clock.pass(150_000);
  t.same(world.changes, ['upsert lan']);
  await world.close();
});

t.test(
  'what comes back after it was gone is found soon; what stays away is asked for ever more rarely',
  async (t) => {
    const world = new World();
    await world.begin();
    world.answer(...Array.from({ length: 1000 }, () => 404));
    while (world.changes.length < 2 && world.clock.now() < HOUR) await world.clock.pass(1000);
    t.same(world.changes, ['upsert lan', 'delete lan']);
    world.answer();
    await world.clock.pass(20_000);
    t.same(world.changes, ['upsert lan', 'delete lan', 'upsert lan']);
    world.answer(...Array.from({ length: 1000 }, () => 404));
    await world.clock.pass(HOUR);
    const asked = world.fake.requests.length;
    await world.clock.pass(HOUR);
    const more = world.fake.requests.length - asked;
    t.ok(more >= 10 && more <= 13, `${more} requests in an hour`);
    await world.close();
  },
);

/** What an API server, and the network before it, does to lists and watches: over real sockets, in a time that runs faster. */
import t, { type Test } from 'tap';
import type { FakeApiServer, Fault } from '../../../support/FakeApiServer.js';
import { eventually } from '../../../support/iptables.js';
import { SERVICES, SLICES, SourceWorld, service, slice } from '../../../support/sourceWorld.js';

const MIB = 1024 * 1024;

t.test('pages of 500, one after the other', async (t) => {
  const { world, fake } = await open(t, (fake) => {
    fake.initialEvents = 'refused';
    for (let n = 0; n < 1203; n++) fake.put(SERVICES, service(n));
  });
  t.ok(await world.agrees());
  const lists = fake.requests.filter(({ path, query }) => path === SERVICES && query.has('limit'));
  t.same(
    lists.map(({ query }) => [query.get('limit'), query.has('continue')]),
    [
      ['500', false],
      ['500', true],
      ['500', true],
    ],
  );
  t.ok(
    lists.every(({ query }) => !query.has('resourceVersion')),
    'consistent reads',
  );
});

const EXPIRED: readonly [string, Fault][] = [
  ['with a token to go on inconsistently', { type: 'status', status: 410, token: 'token-inconsistent' }],
  ['without one', { type: 'status', status: 410 }],
];
for (const [name, fault] of EXPIRED) {
  t.test(`a list that expires between its pages, ${name}, is read whole`, async (t) => {
    const { world, fake } = await open(t, (fake) => {
      fake.initialEvents = 'refused';
      for (let n = 0; n < 1203; n++) fake.put(SERVICES, service(n));
      // The watch that is refused, the first page, the second.
      fake.faultsAt.set(SERVICES, [undefined, undefined, fault]);
    });
    t.ok(await world.agrees());
    const lists = fake.requests.filter(({ path, query }) => path === SERVICES && !query.has('watch'));
    t.same(
      lists.map(({ query }) => [query.get('limit'), query.get('continue')?.slice(0, 5)]),
      [
        ['500', undefined],
        ['500', 'token'],
        [null, undefined],
      ],
    );
    fake.put(SERVICES, service(5, 81));
    t.ok(await world.agrees(), 'and watched from there');
  });
}

t.test('410 again and again is a failure that is told', async (t) => {
  const { world, fake } = await open(t, (fake) => {
    fake.initialEvents = 'refused';
    fake.faultsAt.set(SERVICES, [undefined, ...Array<Fault>(100).fill({ type: 'status', status: 410 })]);
  });
  t.ok(await eventually(() => world.lines.some((line) => /HTTP 410: injected \(Services;/.test(line))));
  t.match(world.contact('services'), { connected: false, complete: false });
  t.match(world.lines[0], 'Nothing is written before everything has been read once');
  fake.faultsAt.clear();
  t.ok(await world.agrees());
});

t.test('an object of several MB, in a list and in a watch', async (t) => {
  for (const initialEvents of ['known', 'refused'] as const) {
    const { world, fake } = await open(t, (fake) => {
      fake.initialEvents = initialEvents;
      fake.put(SERVICES, service(1, 80, large(6)));
    });
    t.ok(await world.agrees(), `initial events ${initialEvents}`);
    fake.put(SERVICES, service(1, 81, large(7)));
    fake.put(SERVICES, service(2, 81));
    t.ok(await world.agrees(), 'watched');
    t.equal(world.contact('services').watchesFailed, 0);
  }
});

t.test('what is too large to be an object is refused, and said; the rest goes on', async (t) => {
  // 33 MiB take their time on a busy machine: the watches must not seem silent meanwhile.
  const { world, fake } = await open(t, (fake) => fake.put(SLICES, slice(1, 1)), 10);
  t.ok(await world.agrees());
  fake.put(SERVICES, service(1, 80, large(33)));
  t.ok(
    await eventually(
      () =>
        world.lines.some((line) => /sent an object of over 32 MiB \(Services; \d+ attempts? in/.test(line)),
      // It is sent again and again, 33 MiB each time.
      60_000,
    ),
  );
  fake.put(SLICES, slice(1, 2));
  const served = () => JSON.stringify([...world.listener.objects.values()]);
  t.ok(await eventually(() => served().includes('10.1.0.2')), 'slices are still watched');
  fake.delete(SERVICES, service(1));
  fake.put(SERVICES, service(2));
  t.ok(await world.agrees(), 'gone, and all is well');
});

const FAULTS: readonly Fault[] = [
  { type: 'status', status: 500 },
  { type: 'cut', after: 0 },
  { type: 'cut', after: 100 },
  { type: 'stall', after: 100 },
  { type: 'garbage' },
  { type: 'gone event' },
  { type: 'old event' },
  { type: 'swapped events' },
  { type: 'refuse' },
];
t.test('each fault of a watch, and what changed meanwhile', async (t) => {
  for (const fault of FAULTS) {
    const { world, fake } = await open(t, (fake) => {
      for (let n = 0; n < 4; n++) fake.put(SERVICES, service(n));
    });
    t.ok(await world.agrees());
    fake.faultsAt.set(SERVICES, [fault]);
    fake.breakConnections();
    for (let n = 0; n < 4; n++) fake.put(SERVICES, service(n, 81));
    fake.delete(SERVICES, service(0));
    t.ok(await world.agrees(), JSON.stringify(fault));
    t.equal(fake.faultsAt.get(SERVICES)?.length, 0, 'it has happened');
    t.ok(await eventually(() => world.contact('services').connected));
  }
});

t.test('each fault of the first reading', async (t) => {
  for (const fault of FAULTS) {
    for (const initialEvents of ['known', 'refused'] as const) {
      const { world } = await open(t, (fake) => {
        fake.initialEvents = initialEvents;
        for (let n = 0; n < 4; n++) fake.put(SERVICES, service(n));
        fake.faultsAt.set(SERVICES, initialEvents === 'known' ? [fault] : [undefined, fault]);
      });
      t.ok(await world.agrees(), `${JSON.stringify(fault)}, initial events ${initialEvents}`);
    }
  }
});

t.test('Retry-After is kept', async (t) => {
  const { world, fake } = await open(t, (fake) => {
    fake.faultsAt.set(SERVICES, [{ type: 'status', status: 429, retryAfter: '60' }]);
  });
  t.ok(await world.agrees());
  const [first, second] = fake.requests.filter(({ path }) => path === SERVICES).map(({ at }) => at / 1000);
  const waited = (second ?? 0) - (first ?? 0);
  t.ok(
    waited > 59.5 && waited < 120,
    `60 s and up to a quarter more, and what the machine takes: ${waited} s`,
  );
  t.match(world.lines[0], /HTTP 429: injected \(Services; 1 attempt in \d+ s\)/);
});

t.test('a watch that is silent is given up, and resumed', async (t) => {
  const { world, fake } = await open(t, (fake) => fake.put(SERVICES, service(1)));
  t.ok(await world.agrees());
  fake.faultsAt.set(SERVICES, [{ type: 'stall', after: 1 }]);
  fake.breakConnections();
  t.ok(await eventually(() => fake.faultsAt.get(SERVICES)?.length === 0));
  const relists = world.contact('services').relists;
  fake.put(SERVICES, service(1, 81));
  t.ok(await world.agrees());
  t.equal(world.contact('services').relists, relists, 'from where it was');
  t.ok(world.contact('services').watchesFailed >= 2, 'broken, silent');
});

t.test('versions that go back: after a restore of etcd', async (t) => {
  for (const futureVersions of ['answered', 'silent'] as const) {
    const { world, fake } = await open(
      t,
      (fake) => {
        fake.futureVersions = futureVersions;
        for (let n = 0; n < 3; n++) fake.put(SERVICES, service(n));
      },
      500,
    );
    t.ok(await world.agrees());
    fake.delete(SERVICES, service(0));
    fake.goBack();
    fake.put(SERVICES, service(1, 82));
    t.ok(await world.agrees(), `a watch from the future is ${futureVersions}`);
    t.ok(world.contact('services').relists > 0, 'everything was read again');
  }
});

t.test('a server without initial events is asked once, not once for each resource', async (t) => {
  for (const initialEvents of ['refused', 'ignored'] as const) {
    const { world, fake } = await open(t, (fake) => {
      fake.initialEvents = initialEvents;
      fake.put(SERVICES, service(1));
      fake.put(SLICES, slice(1, 1));
    });
    t.ok(await world.agrees());
    const asked = fake.requests.filter(({ query }) => query.has('sendInitialEvents'));
    t.equal(asked.length, 1, initialEvents);
    t.equal(
      asked[0]?.query.get('resourceVersionMatch'),
      'NotOlderThan',
      'as it must be (recorded: 422 otherwise)',
    );
    fake.put(SLICES, slice(1, 2));
    t.ok(await world.agrees());
  }
});

t.test('a server that does not know initial events and always has something to say', async (t) => {
  const { world, fake } = await open(t, (fake) => {
    fake.initialEvents = 'ignored';
    fake.put(SERVICES, service(1));
  });
  let port = 1000;
  const busy = setInterval(() => fake.put(SERVICES, service(1, port++)), 30);
  t.ok(
    await eventually(() => world.listener.completed === 1, 2800),
    'is not waited for until its watch ends',
  );
  clearInterval(busy);
  t.ok(await world.agrees());
});

t.test('a server that ends each watch at once is not asked in a circle', async (t) => {
  const { world, fake } = await open(t, (fake) => fake.put(SERVICES, service(1)), 10);
  t.ok(await world.agrees());
  const before = fake.requests.length;
  const end = performance.now() + 1500;
  while (performance.now() < end) {
    fake.bookmark();
    fake.endWatches();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const times = fake.requests
    .slice(before)
    .filter(({ path }) => path === SERVICES)
    .map(({ at }) => at);
  const pauses = times.slice(1).map((at, i) => at - (times[i] ?? 0));
  t.ok(pauses.length > 4, `${pauses.length} watches`);
  t.ok(Math.min(...pauses) > 300, `at least ${Math.min(...pauses)} ms from one to the next`);
  fake.put(SERVICES, service(1, 81));
  t.ok(await world.agrees());
});

async function open(
  t: Test,
  prepare: (fake: FakeApiServer) => void,
  speed = 100,
): Promise<{ readonly world: SourceWorld; readonly fake: FakeApiServer }> {
  const world = await SourceWorld.open(t, { prepare, speed });
  return { world, fake: world.fake };
}

/** Metadata of so many MiB. */
function large(mebibytes: number): object {
  return { annotations: { note: 'x'.repeat(mebibytes * MIB) } };
}

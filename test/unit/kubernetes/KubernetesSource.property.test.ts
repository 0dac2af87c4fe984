/** Whatever goes wrong on the way: in the end the source says what the API server says, and never anything twice. */
import fc from 'fast-check';
import t from 'tap';
import { KubernetesSource } from '../../../src/kubernetes/KubernetesSource.js';
import { parseObject } from '../../../src/objects/read/parseObject.js';
import { FakeApiServer, type Fault, type RawApiObject } from '../../support/FakeApiServer.js';
import { FakeClock } from '../../support/FakeClock.js';
import { StoreListener } from '../../support/StoreListener.js';
import { serviceManifest, sliceManifest } from '../objects/samples.js';

const RUNS = 1000;
const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
/** Virtual milliseconds: longer than the silence after which hung watches are noticed, three times, and the back-off. */
const RECOVERY = 1_200_000;
const QUIET = { info: () => undefined, warn: () => undefined };

const fault: fc.Arbitrary<Fault | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.constantFrom<Fault>(
    { type: 'refuse' },
    { type: 'status', status: 500 },
    { type: 'status', status: 429, retryAfter: '7' },
    { type: 'status', status: 410 },
    { type: 'garbage' },
    { type: 'old event' },
    { type: 'swapped events' },
    { type: 'gone event' },
  ),
  fc.record({
    type: fc.constantFrom('cut' as const, 'stall' as const),
    after: fc.integer({ min: 0, max: 900 }),
  }),
);

type Step = (server: FakeApiServer, clock: FakeClock) => unknown;

const named = fc.integer({ min: 0, max: 6 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(named, fc.integer({ min: 1, max: 9 })).map(
    ([n, port]): Step =>
      (s) =>
        s.put(SERVICES, service(n, port)),
  ),
  fc.tuple(named, fc.integer({ min: 1, max: 9 })).map(
    ([n, host]): Step =>
      (s) =>
        s.put(SLICES, slice(n, host)),
  ),
  named.map(
    (n): Step =>
      (s) =>
        s.delete(SERVICES, service(n, 1)),
  ),
  named.map(
    (n): Step =>
      (s) =>
        s.delete(SLICES, slice(n, 1)),
  ),
  fc.array(fault, { maxLength: 6 }).map(
    (list): Step =>
      (s) =>
        s.faults.push(...list),
  ),
  fc.constantFrom<Step>(
    (s) => s.compact(),
    (s) => s.goBack(),
    (s) => s.breakConnections(),
    (s) => s.bookmark(),
  ),
  fc.constantFrom(0, 10, 2000, 40_000, 200_000).map(
    (ms): Step =>
      (_, clock) =>
        clock.pass(ms),
  ),
);

t.test(`${RUNS} random sequences of changes and faults end in the truth`, async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 14 }),
      fc.constantFrom('known' as const, 'refused' as const, 'ignored' as const),
      fc.constantFrom('answered' as const, 'silent' as const),
      fc.integer({ min: 0, max: 999 }),
      async (steps, initialEvents, futureVersions, jitter) => {
        const clock = new FakeClock();
        const server = new FakeApiServer(clock);
        server.initialEvents = initialEvents;
        server.futureVersions = futureVersions;
        const listener = new StoreListener();
        const source = new KubernetesSource({
          transport: server,
          nodeName: 'node1',
          serviceProxyName: '',
          log: QUIET,
          clock,
          random: () => jitter / 1000,
        });
        await source.start(listener);
        for (const act of steps) await act(server, clock);
        server.faults = [];
        await clock.pass(RECOVERY);
        const found = JSON.stringify([...listener.objects.values()].map((o) => JSON.stringify(o)).sort());
        await source.stop();
        const truth = JSON.stringify(
          [...server.objects(SERVICES).map(parsedService), ...server.objects(SLICES).map(parsedSlice)].sort(),
        );
        if (found !== truth) throw new Error(`found ${found}\ntruth ${truth}`);
        if (listener.needless.length > 0) throw new Error(`needless: ${listener.needless.join(', ')}`);
        if (listener.completed !== 1) throw new Error(`completed ${listener.completed} times`);
        const away = source.contacts().filter(({ connected }) => !connected);
        if (away.length > 0) throw new Error(`not connected: ${JSON.stringify(away)}`);
      },
    ),
    { numRuns: RUNS },
  );
  t.pass('all equal');
});

function service(n: number, port: number): RawApiObject {
  const fields = { name: `s${n}` };
  return serviceManifest(
    { clusterIP: `10.96.0.${n + 1}`, ports: [{ port }] },
    fields,
  ) as unknown as RawApiObject;
}

function slice(n: number, host: number): RawApiObject {
  const fields = { name: `s${n}-a` };
  return sliceManifest({ endpoints: [{ addresses: [`10.1.0.${host}`] }] }, fields) as unknown as RawApiObject;
}

function parsedService(raw: RawApiObject): string {
  return parsed(raw, 'Service', 'v1');
}

function parsedSlice(raw: RawApiObject): string {
  return parsed(raw, 'EndpointSlice', 'discovery.k8s.io/v1');
}

function parsed(raw: RawApiObject, kind: string, apiVersion: string): string {
  const result = parseObject(raw, { kind, apiVersion });
  if (result.type !== 'object') throw new Error(`the test has a bad object: ${JSON.stringify(raw)}`);
  return JSON.stringify(result.object);
}

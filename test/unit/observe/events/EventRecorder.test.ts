import { readFileSync } from 'node:fs';
import t from 'tap';
import { EventRecorder, type EventRequest } from '../../../../src/observe/events/EventRecorder.js';
import type { KubernetesEvent } from '../../../../src/observe/events/KubernetesEvent.js';
import {
  problemFound,
  repaired,
  serverFailed,
  starting,
} from '../../../../src/observe/events/occurrences.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { fromRoot } from '../../../support/fromRoot.js';

const MINUTE = 60_000;

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

function world(answer: () => number = () => 201) {
  const calls: Call[] = [];
  const failures: string[] = [];
  const clock = { now: Date.UTC(2026, 10, 23, 6, 50) };
  const request: EventRequest = async (method, path, body) => {
    calls.push({ method, path, body });
    return answer();
  };
  const recorder = new EventRecorder({
    hostname: 'host1',
    request,
    onFailure: (why) => failures.push(why),
    clock: { ...systemClock, date: () => clock.now },
    random: () => 0.5,
  });
  return { recorder, calls, failures, clock };
}

t.test('an Event as the API takes it', async (t) => {
  const { recorder, calls } = world();
  recorder.record(starting('node1', 'nftables'));
  await recorder.flush();
  t.equal(calls.length, 1);
  t.equal(calls[0]?.path, '/apis/events.k8s.io/v1/namespaces/default/events');
  t.strictSame(calls[0]?.body, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: 'node1.1a2072b2dc080000', namespace: 'default' },
    eventTime: '2026-11-23T06:50:00.000000Z',
    reportingController: 'penstock',
    reportingInstance: 'penstock-host1',
    action: 'StartKubeProxy',
    reason: 'Starting',
    type: 'Normal',
    note: 'penstock serves Services in mode nftables',
    regarding: { apiVersion: 'v1', kind: 'Node', name: 'node1' },
  });
});

t.test('the same again is a series, whose count is sent once a minute', async (t) => {
  const { recorder, calls, clock } = world();
  for (let i = 0; i < 10; i++) {
    recorder.record(repaired('node1', `nft (pid ${4000 + i}): table flushed`));
    clock.now += MINUTE / 4;
  }
  await recorder.flush();
  const posts = calls.filter(({ method }) => method === 'POST');
  const patches = calls.filter(({ method }) => method === 'PATCH');
  t.equal(posts.length, 1);
  const { name } = (posts[0] as Call & { readonly body: KubernetesEvent }).body.metadata;
  t.ok(patches.every(({ path }) => path === `/apis/events.k8s.io/v1/namespaces/default/events/${name}`));
  t.equal(patches.length, 3, 'after one minute, after two, and the rest at the end');
  t.match(patches.at(-1)?.body, { series: { count: 10, lastObservedTime: '2026-11-23T06:52:15.000000Z' } });
  clock.now += 7 * MINUTE;
  recorder.record(repaired('node1', 'nft (pid 7): table flushed'));
  await recorder.flush();
  t.equal(calls.filter(({ method }) => method === 'POST').length, 2, 'later it is another one');
});

t.test('a flood about one object is cut, others are told', async (t) => {
  const { recorder, calls, clock } = world();
  for (let i = 0; i < 100; i++) recorder.record(repaired('node1', `change ${i}`));
  recorder.record(starting('node2', 'ipvs'));
  await recorder.flush();
  t.equal(calls.length, 26);
  clock.now += 10 * MINUTE;
  for (let i = 100; i < 110; i++) recorder.record(repaired('node1', `change ${i}`));
  await recorder.flush();
  t.equal(calls.length, 28, 'one more for each five minutes');
});

t.test('failures are told once in a while, and disturb nobody', async (t) => {
  const { recorder, failures, clock } = world(() => 403);
  for (let i = 0; i < 5; i++) recorder.record(repaired('node1', `change ${i}`));
  await recorder.flush();
  t.strictSame(failures, [
    'the API server answered 403; give the account create and patch on events of events.k8s.io',
  ]);
  clock.now += 11 * MINUTE;
  recorder.record(repaired('node1', 'again'));
  await recorder.flush();
  t.equal(failures.length, 2);
  const broken = new EventRecorder({
    hostname: 'host1',
    request: () => Promise.reject(new Error('connection refused')),
    onFailure: (why) => failures.push(why),
  });
  broken.record(starting('node1', 'nftables'));
  await broken.flush();
  t.equal(failures.at(-1), 'connection refused');
});

t.test('problems are told at the object they are about', async (t) => {
  const conflict = { subject: 'Service shop/cart', message: 'its cluster IP belongs to Service shop/old' };
  t.match(problemFound('routing', conflict, 'node1'), {
    type: 'Warning',
    reason: 'ServiceConflict',
    note: 'node node1: its cluster IP belongs to Service shop/old',
    regarding: { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'cart' },
  });
  const port = { subject: 'Service shop/cart', message: 'health-check node port 32000 cannot be opened' };
  t.match(problemFound('health-check ports', port, 'node1'), {
    reason: 'FailedToStartServiceHealthcheck',
    action: 'Listen',
  });
  const slice = { subject: 'EndpointSlice shop/cart-x1', message: 'ports[0].port must be a number' };
  t.match(problemFound('API server', slice, 'node1'), {
    reason: 'ObjectSetAside',
    regarding: { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' },
  });
  t.equal(
    problemFound('manifests', { subject: 'manifests/cart.yaml', message: 'no YAML' }, 'node1'),
    undefined,
  );
});

t.test('notes are cut at what the API takes: 1024 bytes', async (t) => {
  const { recorder, calls } = world();
  recorder.record(repaired('node1', 'x'.repeat(5000)));
  recorder.record(repaired('node1', 'é'.repeat(5000)));
  await recorder.flush();
  for (const call of calls) {
    const { note } = (call as Call & { readonly body: KubernetesEvent }).body;
    const bytes = Buffer.byteLength(note);
    t.ok(bytes > 1020 && bytes <= 1024, `${bytes} bytes`);
    t.match(note, /[xé]…$/, 'whole characters');
  }
});

t.test('an API server that does not answer does not hold up the end', async (t) => {
  const calls: string[] = [];
  const failures: string[] = [];
  const recorder = new EventRecorder({
    hostname: 'host1',
    request: (method) => {
      calls.push(method);
      return new Promise(() => {});
    },
    onFailure: (why) => failures.push(why),
  });
  for (let i = 0; i < 5; i++) recorder.record(repaired('node1', `change ${i}`));
  const started = performance.now();
  await recorder.stop();
  t.ok(performance.now() - started < 6000);
  recorder.record(starting('node1', 'nftables'));
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame([calls, failures], [['POST'], []], 'nothing more is begun');
  const { recorder: working, calls: sent } = world();
  working.record(starting('node1', 'nftables'));
  await working.stop();
  t.equal(sent.length, 1, 'what can be sent is sent');
});

t.test('docs/kubernetes.md speaks of all Events, and of no others', async (t) => {
  const docs = readFileSync(fromRoot('docs/kubernetes.md'), 'utf8');
  const rows = [...docs.matchAll(/^\| (`\w+`(?:, `\w+`)*) \| (Normal|Warning) \|/gm)];
  const documented = rows.flatMap(([, names = '', type]) =>
    names.split(', ').map((name) => `${name.replaceAll('`', '')} ${type}`),
  );
  const problem = { subject: 'Service shop/cart', message: 'something' };
  const all = [
    starting('node1', 'nftables'),
    repaired('node1', 'something'),
    serverFailed('node1', 'health server', 'taken'),
    serverFailed('node1', 'metrics server', 'taken'),
    ...['routing', 'dataplane', 'health-check ports', 'API server'].map((reporter) =>
      problemFound(reporter, problem, 'node1'),
    ),
  ];
  t.strictSame(documented.sort(), all.map((each) => `${each?.reason} ${each?.type}`).sort());
});

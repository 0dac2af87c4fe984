/** Endpoints that fail their check are not ready; nobody else is touched. */
import t from 'tap';
import { CheckedSource } from '../../../../src/agent/checks/CheckedSource.js';
import type { ObjectSource, SourceListener } from '../../../../src/kubernetes/ObjectSource.js';
import type { ObjectChange } from '../../../../src/objects/ApiObject.js';
import type { EndpointSlice } from '../../../../src/objects/EndpointSlice.js';
import type { Problem } from '../../../../src/objects/Problem.js';
import type { Service } from '../../../../src/objects/Service.js';
import { FakeClock } from '../../../support/FakeClock.js';

const CHECK = {
  'health-check': 'tcp',
  'health-check-interval': '1s',
  'health-check-rise': '2',
  'health-check-fall': '3',
};

function service(name: string, options: Record<string, string>): ObjectChange {
  return {
    type: 'upsert',
    object: { kind: 'Service', namespace: 'shop', name, options } as unknown as Service,
  };
}

function slice(name: string, addresses: readonly string[], protocol = 'TCP'): ObjectChange {
  const endpoints = addresses.map((address) => ({
    address,
    nodeName: '',
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
  }));
  const object = {
    kind: 'EndpointSlice',
    namespace: 'shop',
    name: `${name}-1`,
    serviceName: name,
    family: 'IPv4',
    ports: [{ name: '', protocol, port: 80 }],
    endpoints,
    triggerTime: undefined,
  };
  return { type: 'upsert', object: object as unknown as EndpointSlice };
}

function world() {
  const clock = new FakeClock();
  const down = new Set<string>();
  const asked: string[] = [];
  let inner: SourceListener | undefined;
  const ready = new Map<string, string>();
  let problems: readonly Problem[] = [];
  const source: ObjectSource = {
    name: 'manifests x',
    start: async (listener) => {
      inner = listener;
    },
    stop: async () => {},
  };
  const checked = new CheckedSource(source, {
    clock,
    random: () => 0,
    connect: async (address, port) => {
      asked.push(`${address}:${port}`);
      return down.has(address) ? 'ECONNREFUSED' : undefined;
    },
  });
  const started = checked.start({
    changes: (batch) => {
      for (const change of batch) {
        if (change.type === 'delete') ready.delete(change.ref.name);
        else if (change.object.kind === 'EndpointSlice')
          ready.set(
            change.object.name,
            change.object.endpoints
              .filter((each) => each.ready)
              .map(({ address }) => address)
              .join(),
          );
      }
    },
    complete: () => {},
    problems: (list) => {
      problems = list;
    },
  });
  const send = (...batch: readonly ObjectChange[]) => inner?.changes(batch);
  return {
    clock,
    down,
    asked,
    ready,
    checked,
    started,
    send,
    problems: () => problems.map(({ message }) => message),
    inner: () => inner,
  };
}

t.test('fall, rise, and what is told', async (t) => {
  const { clock, down, ready, checked, started, send, problems } = world();
  await started;
  // In the order of names, as manifests are: endpoints may come before their Service.
  send(slice('web', ['10.0.0.1', '10.0.0.2']), service('web', CHECK));
  send(service('plain', {}), slice('plain', ['10.0.0.2']));
  down.add('10.0.0.2');
  await clock.pass(1500);
  t.equal(ready.get('web-1'), '10.0.0.1,10.0.0.2', 'ready until it failed three times');
  await clock.pass(1000);
  t.equal(ready.get('web-1'), '10.0.0.1');
  t.equal(ready.get('plain-1'), '10.0.0.2', 'a Service that did not ask is served as it says');
  t.match(problems(), [
    /^endpoint 10\.0\.0\.2:80 takes no connection \(ECONNREFUSED\); it gets none until it took 2 in a row$/,
  ]);
  send(slice('web', ['10.0.0.1', '10.0.0.2', '10.0.0.3']));
  t.equal(ready.get('web-1'), '10.0.0.1,10.0.0.3', 'an edit brings no failed endpoint back');
  down.clear();
  await clock.pass(1000);
  t.equal(ready.get('web-1'), '10.0.0.1,10.0.0.3', 'one connect is not enough');
  await clock.pass(1100);
  t.equal(ready.get('web-1'), '10.0.0.1,10.0.0.2,10.0.0.3');
  t.same(problems(), []);
  down.add('10.0.0.3');
  await clock.pass(5000);
  t.equal(ready.get('web-1'), '10.0.0.1,10.0.0.2');
  send(service('web', {}));
  t.equal(ready.get('web-1'), '10.0.0.1,10.0.0.2,10.0.0.3', 'without the annotation everybody serves');
  t.equal(clock.waiting, 0, 'and nothing is asked any more');
  await checked.stop();
});

t.test('nothing is asked of who is gone, of UDP, and after the end', async (t) => {
  const { clock, asked, checked, started, send } = world();
  await started;
  send(service('dns', CHECK), slice('dns', ['10.0.0.9'], 'UDP'));
  t.equal(clock.waiting, 0);
  send(service('web', CHECK), slice('web', ['10.0.0.1', '10.0.0.2']));
  t.equal(clock.waiting, 2);
  send(slice('web', ['10.0.0.2']));
  t.equal(clock.waiting, 1);
  send({ type: 'delete', ref: { kind: 'EndpointSlice', namespace: 'shop', name: 'web-1' } });
  t.equal(clock.waiting, 0);
  send(slice('web', ['10.0.0.3']));
  await clock.pass(2500);
  t.same([...new Set(asked)], ['10.0.0.3:80']);
  send({ type: 'delete', ref: { kind: 'Service', namespace: 'shop', name: 'web' } });
  t.equal(clock.waiting, 0);
  send(service('web', CHECK));
  t.equal(clock.waiting, 1);
  await checked.stop();
  t.equal(clock.waiting, 0);
});

t.test('bad annotations and too many endpoints are told', async (t) => {
  const { clock, checked, started, send, problems, inner } = world();
  await started;
  inner()?.problems([{ subject: 'x', message: 'of the source' }]);
  send(service('web', { ...CHECK, 'health-check-fall': 'x' }));
  t.match(problems(), ['of the source', /health-check-fall.*must be 1 to 100/]);
  send(
    slice(
      'web',
      Array.from({ length: 2500 }, (_, i) => `10.0.${i >> 8}.${i & 255}`),
    ),
  );
  t.equal(clock.waiting, 2000);
  t.match(problems().at(-1), /^500 endpoints are not checked: 2000 are the most/);
  await checked.stop();
});

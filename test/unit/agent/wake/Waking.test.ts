/** What follows from packets that wait and from idle Services: who is told, once, and which units are started and stopped. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { postJson } from '../../../../src/agent/wake/postJson.js';
import { Waking } from '../../../../src/agent/wake/Waking.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { port, service, tableOf } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';

function portsOf(options: Record<string, string>): readonly ServicePort[] {
  const ports = [port({ name: 'a', port: 80 }), port({ name: 'b', port: 81 })];
  const table = tableOf([service({ options, ports })]);
  table.commit();
  return [...table.servicePorts('IPv4').values()];
}

function waking(units: readonly string[], webhook = '', scales = false) {
  const clock = new FakeClock();
  const said: string[] = [];
  const orders: string[] = [];
  const events: string[] = [];
  const posts: unknown[] = [];
  let failure: string | undefined;
  const it = new Waking({
    node: 'node1',
    config: { units, webhook },
    scale: scales
      ? async (namespace, { kind, name }) => {
          orders.push(`scale ${namespace} ${kind}/${name}`);
          return failure;
        }
      : undefined,
    systemctl: async (verb, unit) => {
      orders.push(`${verb} ${unit}`);
      return failure;
    },
    post: async (url, body) => {
      posts.push([url, body]);
      return failure;
    },
    events: {
      record: ({ reason, regarding }) => events.push(`${reason} ${regarding.namespace}/${regarding.name}`),
    },
    clock,
    log: { info: (text: string) => said.push(text), warn: (text: string) => said.push(`! ${text}`) },
  });
  const fails = (why: string) => {
    failure = why;
  };
  return { it, clock, said, orders, events, posts, fails };
}

const UNIT = { wake: 'hold', 'wake-target': 'unit/web', 'idle-after': '5s' };
const settled = () => new Promise((resolve) => setImmediate(resolve));

t.test('ports of a Service ask together, and again after a while', async (t) => {
  const { it, clock, said, orders, events } = waking(['web.service']);
  for (const each of portsOf(UNIT)) it.wanted(each);
  t.strictSame(orders, ['start web.service']);
  t.strictSame(events, ['WakeWanted shop/cart']);
  t.match(said[0], /Service shop\/cart: a connection waits .* unit\/web\.service should start/);
  await clock.pass(10_000);
  for (const each of portsOf(UNIT)) it.wanted(each);
  t.equal(orders.length, 2);
  for (const each of portsOf(UNIT)) it.timedOut(each);
  t.strictSame(events.slice(2), ['WakeTimedOut shop/cart']);
  const [first] = portsOf(UNIT);
  if (first) it.idle(first);
  t.equal(orders.at(-1), 'stop web.service');
  t.equal(events.at(-1), 'Idle shop/cart');
  for (const each of portsOf(UNIT)) it.wanted(each);
  t.equal(orders.at(-1), 'start web.service', 'wanted right after it was stopped');
});

t.test('an annotation alone starts nothing', async (t) => {
  const { it, said, orders } = waking(['other.service']);
  for (const each of portsOf(UNIT)) it.wanted(each);
  t.strictSame(orders, []);
  t.ok(said.some((text) => text.includes('list it in penstock.wake.units')));
  for (const target of ['deployment/web', 'statefulset/web'])
    for (const each of portsOf({ ...UNIT, 'wake-target': target })) it.wanted(each);
  t.strictSame(orders, [], 'a workload is not started, it is told of');
});

t.test('what fails is said', async (t) => {
  const { it, said, fails } = waking(['web.service'], 'http://127.0.0.1:9/');
  fails('Unit web.service not found.');
  for (const each of portsOf(UNIT)) it.wanted(each);
  await settled();
  t.ok(said.some((text) => /^! .*systemctl start web.service failed: Unit web.service not found/.test(text)));
  t.ok(said.some((text) => /^! penstock\.wake\.webhook was not told/.test(text)));
});

t.test('the webhook', async (t) => {
  const { it, posts } = waking([], 'http://hook/');
  const ports = portsOf({ wake: 'hold', 'wake-target': 'deployment/web' });
  for (const each of ports) it.wanted(each);
  t.strictSame(posts, [
    [
      'http://hook/',
      { event: 'wake', namespace: 'shop', service: 'cart', target: 'deployment/web', node: 'node1' },
    ],
  ]);

  const bodies: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      bodies.push(`${request.method} ${request.headers['content-type']} ${body}`);
      response.writeHead(request.url === '/good' ? 204 : 500).end();
    });
  }).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.equal(await postJson(systemClock)(`${url}/good`, { event: 'wake' }), undefined);
  t.strictSame(bodies, ['POST application/json {"event":"wake"}']);
  t.equal(await postJson(systemClock)(`${url}/bad`, {}), 'it answers 500');
  t.equal(await postJson(systemClock)('http://127.0.0.1:1/', {}), 'ECONNREFUSED');
});

t.test('replicas, where the configuration says so', async (t) => {
  const { it, said, orders, clock, fails } = waking([], '', true);
  const ports = portsOf({ ...UNIT, 'wake-target': 'deployment/web' });
  for (const each of ports) it.wanted(each);
  t.strictSame(orders, ['scale shop deployment/web']);
  const [first] = ports;
  if (first) it.idle(first);
  t.equal(orders.length, 1, 'none is taken away');
  fails('it is not there');
  await clock.pass(10_000);
  for (const each of ports) it.wanted(each);
  await settled();
  t.ok(said.some((text) => /^! .*deployment\/web was not given a replica: it is not there/.test(text)));
});

t.test('somebody who knocks at every Service', async (t) => {
  const clock = new FakeClock();
  const said: string[] = [];
  const asked: (() => void)[] = [];
  const it = new Waking({
    node: 'node1',
    config: { units: [], webhook: 'http://hook/' },
    systemctl: async () => undefined,
    scale: undefined,
    post: () => new Promise((resolve) => asked.push(() => resolve(undefined))),
    events: { record: () => {} },
    clock,
    log: { info: () => {}, warn: (text: string) => said.push(text) },
  });
  const table = tableOf(
    Array.from({ length: 3000 }, (_, i) => service({ name: `s${i}`, options: { wake: 'hold' } })),
  );
  table.commit();
  const ports = [...table.servicePorts('IPv4').values()];
  t.equal(ports.length, 3000);
  for (const each of ports) it.wanted(each);
  t.ok(asked.length <= 8, `${asked.length} at once`);
  t.strictSame(said, [
    'more Services want to wake or sleep than can be asked for: others are asked for later',
  ]);
  for (let i = 0; i < asked.length; i++) {
    asked[i]?.();
    await settled();
  }
  t.ok(asked.length > 400 && asked.length < 1010, `${asked.length} in all`);
  const before = asked.length;
  await clock.pass(10_000);
  const [last] = ports.slice(-1);
  if (last) it.wanted(last);
  await settled();
  t.equal(asked.length, before + 1, 'and again when somebody comes');
});

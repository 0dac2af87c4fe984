/** A Service is idle when no node has connections to it, and one node says so. */
import t, { type Test } from 'tap';
import { GONE_MS } from '../../../../src/agent/wake/activityLease.js';
import { IdleWatch } from '../../../../src/agent/wake/IdleWatch.js';
import { shareActivity } from '../../../../src/agent/wake/shareActivity.js';
import { Waking } from '../../../../src/agent/wake/Waking.js';
import type { ApiServer } from '../../../../src/kubernetes/openApiServer.js';
import { endpoint, ip, service, slice, tableOf } from '../../../support/builders.js';
import { FakeApiServer } from '../../../support/FakeApiServer.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { writeToApi } from '../../../support/writeToApi.js';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const ESTABLISHED = 3;

function cluster(t: Test) {
  const clock = new FakeClock();
  const fake = new FakeApiServer(clock);
  const written: string[] = [];
  let answers: number | undefined;
  const api = {
    server: fake.server,
    get: fake.get.bind(fake),
    send: async (method: string, path: string, body: unknown) => {
      if (answers !== undefined) return answers;
      written.push(`${method} ${path.slice(LEASES.length)}`);
      return writeToApi(fake, method, path, body);
    },
  } as unknown as ApiServer;
  const idle: string[] = [];
  const warnings: string[] = [];
  const log = { info: () => {}, warn: (text: string) => warnings.push(text) };
  const node = (name: string) => {
    const options = { wake: 'hold', 'idle-after': '60s' };
    const table = tableOf([service({ options }), slice([endpoint('10.1.0.1')])]);
    table.commit();
    const shared = shareActivity({ api, namespace: 'kube-system', node: name, clock, random: () => 0, log });
    const waking = new Waking({
      node: name,
      config: { units: [], webhook: '' },
      systemctl: async () => undefined,
      post: async () => undefined,
      scale: undefined,
      leads: shared.leads,
      events: { record: ({ reason, note }) => idle.push(`${reason} ${/node \w+/.exec(note)?.[0]}`) },
      clock,
      log,
    });
    let connections = 0;
    const original = {
      family: 'IPv4',
      protocol: 6,
      source: ip('192.0.2.1'),
      destination: ip('10.96.0.10'),
      sourcePort: 40_000,
      destinationPort: 80,
    } as const;
    const watch = new IdleWatch({
      servicePorts: (family) => table.servicePorts(family).values(),
      eachConnection: async (take) => {
        for (let id = 1; id <= connections; id++)
          take({
            original,
            reply: original,
            status: 0,
            id,
            zone: 0,
            tcpState: ESTABLISHED,
            bytes: undefined,
          });
      },
      onLooked: shared.looked,
      isActiveElsewhere: shared.isActiveElsewhere,
      onIdle: (port) => waking.idle(port),
      clock,
    });
    const end = async () => {
      watch.stop();
      await shared.stop();
    };
    t.teardown(end);
    return { setConnections: (count: number) => (connections = count), waits: shared.waits, end };
  };
  const answer = (status: number | undefined) => {
    answers = status;
  };
  return { clock, fake, written, idle, warnings, node, answer };
}

t.test('as long as one node has a connection, nobody says idle; then one does', async (t) => {
  const { clock, idle, node, written } = cluster(t);
  const [first, second] = [node('node1'), node('node2')];
  second.setConnections(1);
  await clock.pass(400_000);
  t.strictSame(idle, [], 'node1 has none, and knows of that of node2');
  t.ok(written.length < 60, `${written.length} writings of two nodes in 400 s`);
  second.setConnections(0);
  await clock.pass(100_000);
  t.strictSame(idle, ['Idle node node1']);
  await first.end();
});

t.test('a node that dies takes its connections with it, and another one speaks', async (t) => {
  const { clock, idle, node } = cluster(t);
  const first = node('node1');
  node('node2');
  first.setConnections(5);
  await clock.pass(100_000);
  await first.end();
  await clock.pass(GONE_MS - 20_000);
  t.strictSame(idle, []);
  await clock.pass(120_000);
  t.equal(idle[0], 'Idle node node2');
});

t.test('while nothing comes in, or nothing can be written, nobody is idle', async (t) => {
  const { clock, idle, node, answer, warnings } = cluster(t);
  node('node1');
  answer(403);
  await clock.pass(300_000);
  t.strictSame(idle, []);
  t.match(warnings, [/answers 403: give the account create, patch, list and watch on leases/]);
  answer(undefined);
  await clock.pass(200_000);
  t.ok(idle.length > 0);
});

t.test('somebody who waits is told of at once, and for a while', async (t) => {
  const { clock, fake, node } = cluster(t);
  const first = node('node1');
  await clock.pass(40_000);
  first.waits('shop/asleep');
  await clock.pass(100);
  const active = () => JSON.stringify(fake.objects(LEASES)[0]?.metadata);
  t.match(active(), /shop\/asleep/);
  await clock.pass(60_000);
  t.notMatch(active(), /shop\/asleep/);
});

t.test('after an API server that was away nobody is idle before the others had time to write', async (t) => {
  const { clock, fake, idle, node, answer } = cluster(t);
  node('node1');
  const second = node('node2');
  second.setConnections(1);
  await clock.pass(100_000);
  answer(503);
  fake.faults = Array.from({ length: 1000 }, () => ({ type: 'refuse' }) as const);
  fake.breakConnections();
  await clock.pass(300_000);
  answer(undefined);
  fake.faults = [];
  await clock.pass(200_000);
  t.strictSame(idle, []);
});

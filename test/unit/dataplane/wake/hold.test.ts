/** Whose first packets go to the queue, what the thread is told of them, and what it tells. */
import t from 'tap';
import { sleepRecord, wakeRecord } from '../../../../src/dataplane/wake/encodeHold.js';
import { Holder } from '../../../../src/dataplane/wake/Holder.js';
import { holdContent } from '../../../../src/dataplane/wake/holdSets.js';
import type { NativeHold } from '../../../../src/kernel/addon/NativeHold.js';
import type { Cidr } from '../../../../src/net/ip.js';
import { wakeText } from '../../../../src/observe/metrics/wakeText.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../../support/builders.js';

function servicePort(fields: object, ready = false): ServicePort {
  const table = tableOf([
    service({ options: { wake: 'hold', 'wake-timeout': '5s' }, ...fields }),
    slice([endpoint('10.1.0.1', { ready }), endpoint('10.1.0.2', { ready })]),
  ]);
  table.commit();
  const [found] = table.servicePorts('IPv4').values();
  if (!found) throw new Error('no service port');
  return found;
}

const content = (nodePortAddresses: readonly Cidr[], ownPackets = false) =>
  holdContent({ ownPackets, nodePortAddresses });
const SETTINGS = { family: 'IPv4', queue: 7, by: 'expression', nodeAddress: undefined } as const;

t.test('elements: every address of who sleeps, none of who is awake', async (t) => {
  const fields = {
    type: 'NodePort',
    externalIPs: [ip('192.0.2.9')],
    ports: [port({ nodePort: 30_080 })],
  };
  const sets = (each: ServicePort) => [...content([]).elements(each, SETTINGS)].map(([set]) => set);
  t.strictSame(sets(servicePort(fields)), ['services', 'services', 'node-ports']);
  t.strictSame(sets(servicePort(fields, true)), []);
  t.strictSame(sets(servicePort({ ...fields, options: {} })), []);
});

t.test('rules: only first packets, past a queue that nobody has', async (t) => {
  const texts = (options: ReturnType<typeof content>) =>
    options
      .chains(SETTINGS)
      .map(({ name, rules }) => [name, rules.map((rule) => rule.map(({ text }) => text).join(' '))] as const);
  const [wait, hold, arriving, own] = texts(content([]));
  t.strictSame(wait, [
    'wait',
    [
      'update @crowds { ip daddr . meta l4proto . th dport timeout 10s limit rate over 10000/second burst 4096 packets } drop',
      'meta l4proto tcp ip saddr . th sport . ip daddr . th dport @waiters queue to 7',
      'meta l4proto tcp update @waiters { ip saddr . th sport . ip daddr . th dport timeout 1m }',
      'queue flags bypass to 7',
    ],
  ]);
  t.equal(hold?.[1].length, 2);
  for (const rule of hold?.[1] ?? []) t.match(rule, /goto wait$/);
  t.match(arriving?.[1][0], /ct status ! confirmed/);
  t.equal(own, undefined, 'packets of the node itself wake nobody');
  t.equal(texts(content([], true))[3]?.[0], 'own', 'unless they are to');
  const [, listed] = texts(content(['10.0.0.0/8' as Cidr, '192.0.2.1/32' as Cidr]));
  t.equal(listed?.[1].length, 3, 'node ports where they answer');
  t.match(listed?.[1][1], /10\.0\.0\.0\/8/);
  const bare = { ...SETTINGS, unlimited: true } as const;
  t.strictSame(
    content([])
      .chains(bare)[0]
      ?.rules.map((rule) => rule.at(-1)?.text.split(' ')[0]),
    ['queue', 'update', 'queue'],
    'a kernel without limits has no rule that asks for one',
  );
  t.strictSame(
    [SETTINGS, bare].map((settings) =>
      content([])
        .sets(settings)
        .map(({ name }) => name),
    ),
    [
      ['services', 'node-ports', 'waiters', 'crowds'],
      ['services', 'node-ports', 'waiters'],
    ],
  );
});

t.test('what the thread is told', async (t) => {
  const sleeping = servicePort({
    type: 'LoadBalancer',
    loadBalancerIngress: [{ ip: '192.0.2.7', ipMode: 'VIP' }],
    loadBalancerSourceRanges: ['198.51.100.0/25'],
    ports: [port({ nodePort: 30_080 })],
  });
  const record = sleepRecord(258, sleeping);
  t.strictSame([...record.subarray(0, 7)], [1, 2, 1, 0, 0, 6, 4], 'set, id, TCP, IPv4');
  t.equal(record.readUInt32LE(7), 5000, 'timeout');
  t.equal(record.readUInt16LE(11), 1, 'one range');
  t.strictSame([...record.subarray(13, 17), record[29]], [198, 51, 100, 0, 25]);
  t.equal(record.readUInt16LE(30), 3, 'three places');
  const kinds = [0, 1, 2].map((i) => record[32 + i * 19]);
  t.strictSame(kinds, [0, 2, 1], 'cluster IP, restricted, node port');
  t.equal(record.length, 32 + 3 * 19);
  t.strictSame([...wakeRecord(258, 3)], [2, 2, 1, 0, 0, 3, 0, 0, 0]);
});

t.test('who falls asleep and wakes, and whom the thread speaks of', async (t) => {
  const told: Buffer[] = [];
  const events: number[] = [];
  const status = {
    waiting: 2,
    flows: 2,
    held: 9,
    released: 5,
    cured: 4,
    replaced: 1,
    timedOut: 2,
    crowded: 0,
    passed: 0,
    wakes: 3,
    wakeMs: 4500,
  };
  const native: NativeHold = {
    queue: 7,
    status,
    update: (records) => told.push(Buffer.from(records)),
    takeEvents: () => events.splice(0),
    close: () => {},
  };
  const holder = new Holder(native);
  const [sleeping, awake] = [servicePort({}), servicePort({}, true)];
  const { key } = sleeping;
  const heard: string[] = [];
  const hear = () =>
    holder.hear({
      wanted: ({ service }) => heard.push(`wanted ${service}`),
      timedOut: ({ service }) => heard.push(`timed out ${service}`),
    });
  const change = { key, before: undefined, after: sleeping };
  holder.wake('IPv4', [change]);
  t.equal(told.length, 0, 'nobody is told of what sleeps on, or was never asleep');
  holder.sleep('IPv4', [change]);
  holder.sleep('IPv4', [change]);
  t.strictSame(
    told.map((record) => record.readUInt32LE(1)),
    [1, 1],
    'the same id again',
  );
  t.strictSame(holder.known('IPv4'), [key]);
  t.strictSame(holder.known('IPv6'), []);
  events.push(1, 1, 77, 1, 1, 2);
  hear();
  t.strictSame(
    heard,
    [`wanted ${sleeping.service}`, `timed out ${sleeping.service}`],
    'strangers are left out',
  );
  t.match(wakeText(holder.report()), /^penstock_wake_asleep 1$/m);
  t.match(wakeText(holder.report()), /^penstock_wake_seconds_total 4\.5$/m);
  holder.wake('IPv4', [{ key, before: sleeping, after: awake }]);
  t.strictSame([...(told[2] ?? [])], [...wakeRecord(1, 2)]);
  events.push(1, 1);
  hear();
  t.equal(heard.length, 2, 'who is awake is not wanted');
  holder.sleep('IPv4', [change]);
  holder.wake('IPv4', [{ key, before: sleeping, after: undefined }]);
  t.strictSame([...(told[4] ?? [])], [...wakeRecord(2, 0)], 'a Service that is gone');
  t.equal(wakeText(undefined), '');
});

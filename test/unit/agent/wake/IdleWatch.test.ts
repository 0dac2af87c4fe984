/** When a Service counts as idle, by the connections that the kernel knows. */
import t from 'tap';
import { IdleWatch } from '../../../../src/agent/wake/IdleWatch.js';
import type { ConntrackEntry } from '../../../../src/kernel/conntrack/ConntrackEntry.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';

const ESTABLISHED = 3;
const TIME_WAIT = 7;

function entry(
  destination: string,
  destinationPort: number,
  tcpState: number | undefined,
  id = 1,
): ConntrackEntry {
  const original = {
    family: 'IPv4',
    protocol: tcpState === undefined ? 17 : 6,
    source: ip('192.0.2.1'),
    destination: ip(destination),
    sourcePort: 40_000,
    destinationPort,
  } as const;
  return { original, reply: original, status: 0, id, zone: 0, tcpState, bytes: undefined };
}

/** A Service at 10.96.0.10:80 and node port 30080, idle after 10 s. */
function watched(options: Record<string, string> = { wake: 'hold', 'idle-after': '10s' }, isAwake = true) {
  const clock = new FakeClock();
  const table = tableOf([
    service({ options, type: 'NodePort', ports: [port({ nodePort: 30_080 })] }),
    slice(isAwake ? [endpoint('10.1.0.1')] : []),
  ]);
  table.commit();
  const idle: number[] = [];
  const looked: unknown[] = [];
  let looks = 0;
  let connections: readonly ConntrackEntry[] | 'broken' = [];
  const watch = new IdleWatch({
    servicePorts: (family) => table.servicePorts(family).values(),
    eachConnection: async (take) => {
      looks++;
      if (connections === 'broken') throw new Error('the kernel does not tell');
      for (const each of connections) take(each);
    },
    onLooked: (found) => looked.push(found && Object.fromEntries(found)),
    onIdle: () => idle.push(clock.now()),
    clock,
  });
  const pass = async (seconds: number, now: typeof connections = connections) => {
    connections = now;
    await clock.pass(seconds * 1000);
  };
  const wake = () => {
    table.apply([{ type: 'upsert', object: slice([endpoint('10.1.0.1')]) }]);
    table.commit();
  };
  const ask = (now: Record<string, string>) => {
    table.apply([{ type: 'upsert', object: service({ options: now, type: 'NodePort' }) }]);
    table.commit();
  };
  return { watch, idle, looked, pass, wake, ask, looks: () => looks };
}

t.test('no connection for so long', async (t) => {
  const { watch, idle, pass } = watched();
  await pass(9);
  t.equal(idle.length, 0);
  await pass(6);
  t.equal(idle.length, 1);
  await pass(30);
  t.ok(idle.length >= 2, 'told again while it is awake');
  watch.stop();
  const before = idle.length;
  await pass(30);
  t.equal(idle.length, before, 'nothing after the end');
});

t.test('who wakes is watched at once', async (t) => {
  const { watch, idle, pass, wake } = watched(undefined, false);
  await pass(100);
  t.equal(idle.length, 0, 'asleep');
  wake();
  await pass(9);
  t.equal(idle.length, 0);
  await pass(7);
  t.equal(idle.length, 1);
  watch.stop();
});

t.test('connections count', async (t) => {
  for (const [what, connection] of [
    ['at the VIP', entry('10.96.0.10', 80, ESTABLISHED)],
    ['at the node port', entry('192.168.0.2', 30_080, ESTABLISHED)],
  ] as const) {
    const { watch, idle, pass } = watched();
    await pass(60, [connection]);
    t.equal(idle.length, 0, what);
    await pass(15, []);
    t.equal(idle.length, 1, `${what}, after its end`);
    watch.stop();
  }
  for (const [what, connection] of [
    ['another port', entry('10.96.0.10', 81, ESTABLISHED)],
    ['another address', entry('10.96.0.11', 80, ESTABLISHED)],
    ['another protocol', entry('10.96.0.10', 80, undefined)],
  ] as const) {
    const { watch, idle, pass } = watched();
    await pass(15, [connection]);
    t.equal(idle.length, 1, what);
    watch.stop();
  }
});

t.test('what has ended was something once, not for as long as the kernel remembers it', async (t) => {
  const { watch, idle, pass } = watched();
  await pass(8, [entry('10.96.0.10', 80, TIME_WAIT, 5)]);
  await pass(6);
  t.equal(idle.length, 1, 'the same one counts once');
  const { watch: other, idle: never, pass: go } = watched();
  for (let i = 0; i < 20; i++) await go(3, [entry('10.96.0.10', 80, TIME_WAIT, i)]);
  t.equal(never.length, 0, 'short connections, one after the other');
  watch.stop();
  other.stop();
});

t.test('a kernel that does not tell says nothing', async (t) => {
  const { watch, idle, looked, pass } = watched();
  await pass(60, 'broken');
  t.equal(idle.length, 0);
  t.ok(looked.length > 0 && looked.every((found) => found === undefined), 'which is told');
  watch.stop();
});

t.test('who is not asked for, or asleep, costs no look', async (t) => {
  for (const each of [watched({ wake: 'hold' }), watched({}), watched(undefined, false)]) {
    await each.pass(120);
    t.equal(each.looks(), 0);
    t.equal(each.idle.length, 0);
    each.watch.stop();
  }
});

t.test('when the last Service has ceased to ask, what was told of it is taken back', async (t) => {
  const { watch, looked, pass, ask } = watched();
  await pass(5, [entry('10.96.0.10', 80, ESTABLISHED)]);
  t.match(looked.at(-1), { 'shop/cart': 1 });
  ask({ wake: 'hold' });
  await pass(100);
  t.strictSame(looked.at(-1), {});
  const before = looked.length;
  await pass(100);
  t.equal(looked.length, before, 'once');
  watch.stop();
});

t.test('an agent that is new looks when it knows the first Service', async (t) => {
  const clock = new FakeClock();
  const table = tableOf([]);
  table.commit();
  const looked: number[] = [];
  const watch = new IdleWatch({
    servicePorts: (family) => table.servicePorts(family).values(),
    eachConnection: async () => {},
    onLooked: () => looked.push(clock.now()),
    onIdle: () => {},
    clock,
  });
  await clock.pass(10_500);
  t.strictSame(looked, []);
  table.apply([
    { type: 'upsert', object: service({ options: { wake: 'hold', 'idle-after': '10m' } }) },
    { type: 'upsert', object: slice([endpoint('10.1.0.1')]) },
  ]);
  table.commit();
  await clock.pass(1000);
  t.strictSame(looked, [11_000]);
  watch.stop();
});

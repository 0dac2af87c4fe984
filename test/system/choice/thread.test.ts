/** The threads that choose, with the program they are in: busy JavaScript, threads that hang, queues that are flooded. */
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import t from 'tap';
import { Chooser } from '../../../src/dataplane/choice/Chooser.js';
import type { NativeChoice } from '../../../src/kernel/addon/NativeChoice.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';
import { EndpointChoice } from '../../../src/modes/beside/EndpointChoice.js';
import { systemClock } from '../../../src/time/Clock.js';
import { endpoint, endpointPort, ip, port, service, slice, tableOf } from '../../support/builders.js';
import { connectsUnder, PODS, Program, prepareNode, VIP } from '../../support/choiceWorld.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { openDataplane } from '../../support/nftablesWorld.js';

const ALL = [...PODS.IPv4, ...PODS.IPv6];
const BUSY_MS = 5000;
/** More than a queue holds, once for each queue and once more. */
const FLOOD = 6000;

function objects() {
  const both = [port({ name: 'http' }), port({ name: 'dns', protocol: 'UDP', port: 53 })];
  const ports = [
    endpointPort({ name: 'http', port: 8080 }),
    endpointPort({ name: 'dns', protocol: 'UDP', port: 8053 }),
  ];
  return [
    service({
      options: { algorithm: 'least-connections' },
      clusterIPs: { IPv4: ip(VIP.IPv4), IPv6: ip(VIP.IPv6) },
      ports: both,
    }),
    slice(
      PODS.IPv4.map((each) => endpoint(each)),
      { ports },
    ),
    slice(
      PODS.IPv6.map((each) => endpoint(each)),
      { ports, name: 'cart-2', family: 'IPv6' },
    ),
  ];
}

/** Of the kernel, in this network namespace. */
function queueRows(): readonly { number: number; waiting: number; last: number }[] {
  const lines = shell('cat /proc/net/netfilter/nfnetlink_queue').trim().split('\n');
  return lines.map((line) => {
    const [number = 0, , waiting = 0, , , , , last = 0] = line.trim().split(/ +/).map(Number);
    return { number, waiting, last };
  });
}

function usableProcessors(): readonly number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** Milliseconds that threads of this process with the name of those that choose were on a processor. */
function chooserMs(): number {
  const threads = readdirSync('/proc/self/task').map((id) => `/proc/self/task/${id}`);
  const choosing = threads.filter((path) => readFileSync(`${path}/comm`, 'utf8') === 'choose\n');
  if (choosing.length === 0) throw new Error('no thread chooses');
  return choosing.reduce(
    (sum, path) => sum + Number(readFileSync(`${path}/schedstat`, 'utf8').split(' ')[0]) / 1e6,
    0,
  );
}

if (await inNetns(import.meta.url)) {
  prepareNode();
  const server = await Program.serving(ALL);
  t.teardown(() => server[Symbol.asyncDispose]());
  const table = tableOf(objects());
  const changes = table.commit();
  const dataplane = openDataplane();
  await dataplane.sync(table, changes);
  t.teardown(() => dataplane.close());

  let native: NativeChoice | undefined;
  const open = async (watchdog: 'with its watchdog' | 'alone') => {
    const choice = new EndpointChoice({
      families: ['IPv4', 'IPv6'],
      clock: systemClock,
      log: pino({ level: 'silent' }),
      openQueue: (options) => {
        const wanted = watchdog === 'alone' ? { ...options, watchdog: '' } : options;
        native = new (nativeAddon().ChoiceQueue)(wanted);
        return native;
      },
    });
    await choice.sync(table, changes);
    return choice;
  };

  t.test('JavaScript is busy for 5 s', async (t) => {
    const choice = await open('with its watchdog');
    t.teardown(() => choice.close());
    const before = choice.report()?.status;
    await connectsUnder(t, 'busy', async () => {
      const end = performance.now() + BUSY_MS;
      while (performance.now() < end);
    });
    const after = choice.report()?.status;
    t.ok((after?.decided ?? 0) - (before?.decided ?? 0) > 100, 'decisions went on');
  });

  t.test('the threads sleep when no packet comes', async (t) => {
    const choice = await open('alone');
    t.teardown(() => choice.close());
    await connectsUnder(t, 'many', () => sleep(500));
    t.ok((choice.report()?.status.decided ?? 0) > 10);
    await sleep(200);
    const before = chooserMs();
    await sleep(1000);
    const ms = chooserMs() - before;
    t.ok(ms < 100, `${ms} ms of processor time in a second without packets`);
  });

  t.test('the thread hangs', async (t) => {
    const choice = await open('with its watchdog');
    t.teardown(() => choice.close());
    await connectsUnder(t, 'hanging', async () => {
      native?.hang(3000);
      await sleep(3500);
    });
    t.ok((choice.report()?.status.timesOpen ?? 0) >= 1, 'the watchdog let packets pass');
    // UDP flows count until the kernel forgets them. What is chosen for and never heard of counts for 5 s.
    const counting = () =>
      (choice.report()?.servicePorts ?? [])
        .filter(({ servicePort }) => servicePort.protocol === 'TCP')
        .flatMap(({ endpoints }) => [...endpoints])
        .reduce((sum, { active }) => sum + active, 0);
    t.ok(await eventually(() => counting() === 0, 1500), `nothing is open, and ${counting()} count`);
    const before = choice.report()?.status.decided ?? 0;
    await connectsUnder(t, 'afterwards', () => sleep(500));
    t.ok((choice.report()?.status.decided ?? 0) > before, 'it decides again');
  });

  t.test("what comes on a processor goes to that one's queue", async (t) => {
    const choice = await open('alone');
    t.teardown(() => choice.close());
    const { queue = 0, queues = 0 } = choice.report() ?? {};
    t.equal(queues, Math.min(availableParallelism(), 8));
    for (const cpu of usableProcessors()) {
      const before = queueRows().map(({ last }) => last);
      for (let i = 0; i < 5; i++) shell(`taskset -c ${cpu} bash -c 'exec 3<>/dev/tcp/${VIP.IPv4}/80'`);
      const grown = queueRows().filter(({ last }, i) => last - (before[i] ?? 0) >= 5);
      t.strictSame(
        grown.map(({ number }) => number),
        queues > 1 ? [queue + (cpu % queues)] : [queue],
        `processor ${cpu}`,
      );
    }
  });

  t.test('the queue is flooded while nobody decides and nobody watches', async (t) => {
    const choice = await open('alone');
    t.teardown(() => choice.close());
    const sockets = Array.from({ length: FLOOD }, () => createSocket('udp4'));
    t.teardown(() => {
      for (const socket of sockets) socket.close();
    });
    native?.hang(6000);
    await sleep(100);
    let answered = 0;
    for (const socket of sockets) {
      socket.on('message', () => {
        answered++;
      });
    }
    for (let i = 0; i <= (choice.report()?.queues ?? 0); i++)
      for (const socket of sockets) socket.send('?', 53, VIP.IPv4);
    await sleep(1000);
    t.ok(answered > 0, `what found no room passed: ${answered} of ${FLOOD} were answered`);
    await connectsUnder(t, 'flooded', () => sleep(1000));
    for (const { number, waiting } of queueRows())
      t.ok(waiting <= 4096, `a bound holds: ${waiting} wait in queue ${number}`);
    // Their answers come at once then: not all fit the buffers of sockets.
    t.ok(
      await eventually(() => queueRows().every(({ waiting }) => waiting === 0)),
      'the others are decided later',
    );
  });

  t.test('whoever closes loses nothing', async (t) => {
    await connectsUnder(t, 'opened and closed', async () => {
      for (let i = 0; i < 5; i++) {
        const choice = await open('with its watchdog');
        await sleep(150);
        choice.close();
      }
    });
  });

  t.test('another program has the number', async (t) => {
    const first = await open('alone');
    const second = await open('alone');
    t.not(first.report()?.queue, second.report()?.queue, 'the next one is taken');
    first.close();
    second.close();
  });

  t.test('other programs have all numbers, one of them that of a table of before', async (t) => {
    const before = await open('alone');
    const first = before.report()?.queue ?? 0;
    before.close();
    t.match(shell('nft list tables 2>/dev/null'), 'penstock-choice', 'the table stays when an agent ends');
    const options = { markShift: 21, markMask: 0x7fe0_0000, watchdog: '' };
    const others = Array.from(
      { length: 16 },
      (_, i) => new (nativeAddon().ChoiceQueue)({ ...options, firstQueue: first + i }),
    );
    t.teardown(() => {
      for (const each of others) each.close();
    });
    const after = await open('alone');
    t.teardown(() => after.close());
    t.equal(after.report(), undefined, 'nobody chooses');
    t.notMatch(shell('nft list tables 2>/dev/null'), 'penstock-choice', 'nobody is handed their packets');
    await connectsUnder(t, 'all numbers taken', () => sleep(300));
  });

  t.test('records that make no sense', async (t) => {
    const options = { firstQueue: 40_000, markShift: 21, markMask: 0x7fe0_0000, watchdog: '' };
    const queue = new (nativeAddon().ChoiceQueue)(options);
    t.teardown(() => queue.close());
    for (const bad of [[9], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 6, 4, 2, 255], [2, 255, 255, 255, 255]])
      t.throws(() => queue.update(Uint8Array.from(bad)), { code: 'EINVAL' }, bad.join(' '));
    const one = new Chooser(queue, () => 0);
    t.strictSame(one.report().servicePorts, []);
    t.equal(queue.status.decided, 0);
  });
}

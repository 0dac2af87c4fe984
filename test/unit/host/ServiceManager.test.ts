import t from 'tap';
import { ServiceManager } from '../../../src/host/ServiceManager.js';
import { FakeClock } from '../../support/FakeClock.js';

function world(given: Record<string, string>, send?: () => void) {
  const clock = new FakeClock();
  const environment: Record<string, string | undefined> = { PATH: '/bin', ...given };
  const sent: string[][] = [];
  const warnings: string[] = [];
  const manager = new ServiceManager({
    environment,
    pid: 42,
    clock,
    log: { warn: (text) => void warnings.push(text) },
    send: (address, text) => {
      send?.();
      sent.push([address, ...text.split('\n')]);
    },
    monotonic: () => 5_000_999n,
  });
  return { clock, environment, sent, warnings, manager };
}

t.test('what a service goes through', async (t) => {
  const { clock, environment, sent, manager } = world({
    NOTIFY_SOCKET: '@bus',
    WATCHDOG_USEC: '4000000',
    WATCHDOG_PID: '42',
  });
  t.same(Object.keys(environment), ['PATH'], 'programs that are started here hear nothing');
  let status = 'waiting for\n manifests';
  manager.follow(() => status);
  manager.reloading();
  manager.reloaded();
  status = 'Serving 1 Service';
  manager.serves();
  manager.reloading();
  manager.reloading();
  manager.reloaded();
  manager.reloaded();
  await clock.pass(4000);
  status = 'Serving 2 Services';
  await clock.pass(2000);
  manager.stopping('SIGTERM received');
  manager.serves();
  await clock.pass(2000);
  manager.close();
  await clock.pass(60_000);
  t.same(sent, [
    ['@bus', 'STATUS=Starting'],
    ['@bus', 'STATUS=waiting for manifests'],
    ['@bus', 'READY=1', 'STATUS=Serving 1 Service'],
    ['@bus', 'RELOADING=1', 'MONOTONIC_USEC=5000'],
    ['@bus', 'READY=1'],
    ['@bus', 'WATCHDOG=1'],
    ['@bus', 'WATCHDOG=1'],
    ['@bus', 'WATCHDOG=1', 'STATUS=Serving 2 Services'],
    ['@bus', 'STOPPING=1', 'STATUS=SIGTERM received'],
    ['@bus', 'WATCHDOG=1'],
  ]);
});

t.test('a watchdog of another process, of none, and of nonsense', async (t) => {
  for (const given of [
    { WATCHDOG_USEC: '4000000', WATCHDOG_PID: '41' },
    { WATCHDOG_USEC: '0' },
    { WATCHDOG_USEC: '-5' },
    { WATCHDOG_USEC: '1' },
    { WATCHDOG_USEC: 'soon' },
    {},
  ]) {
    const { clock, sent, manager } = world({ NOTIFY_SOCKET: '/run/notify', ...given });
    manager.serves();
    await clock.pass(30_000);
    manager.close();
    t.same(
      sent,
      [
        ['/run/notify', 'STATUS=Starting'],
        ['/run/notify', 'READY=1'],
      ],
      JSON.stringify(given),
    );
  }
  const { clock, sent, manager } = world({
    NOTIFY_SOCKET: '/run/notify',
    WATCHDOG_USEC: '18446744073709551',
  });
  await clock.pass(10_000);
  t.equal(sent.length, 1, 'nearly never is not at once');
  manager.close();
});

t.test('nobody who wants to hear', async (t) => {
  for (const given of [
    {},
    { NOTIFY_SOCKET: '' },
    { NOTIFY_SOCKET: 'vsock:2:1234' },
    { NOTIFY_SOCKET: '@' },
  ]) {
    const { clock, sent, manager } = world({ WATCHDOG_USEC: '4000000', ...given });
    manager.serves();
    manager.stopping('');
    t.equal(clock.waiting, 0);
    t.same(sent, []);
  }
});

t.test('a service manager that is gone is said once, and the agent serves on', async (t) => {
  let isGone = true;
  const { clock, sent, warnings, manager } = world(
    { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '2000000' },
    () => {
      if (isGone) throw new Error('ENOENT');
    },
  );
  await clock.pass(5000);
  t.match(warnings, [/^the service manager cannot be told STATUS=Starting at \/run\/notify: ENOENT$/]);
  t.equal(warnings.length, 1);
  isGone = false;
  await clock.pass(1000);
  t.same(sent, [['/run/notify', 'WATCHDOG=1', 'STATUS=Starting']], 'what was not heard comes again');
  isGone = true;
  await clock.pass(1000);
  t.equal(warnings.length, 2);
  manager.close();
});

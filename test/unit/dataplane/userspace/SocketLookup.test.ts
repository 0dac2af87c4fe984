import t from 'tap';
import { encodeRanges, SocketLookup } from '../../../../src/dataplane/userspace/SocketLookup.js';
import type { LocalRange } from '../../../../src/kernel/routes/LocalRanges.js';
import type { Cidr, IpFamily } from '../../../../src/net/ip.js';
import { cidr, ip } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';

const V4 = [cidr('10.96.0.0/12')];
const V6 = [cidr('fd00:96::/108')];
const NODE = ip('192.168.0.2');
const NODE6 = ip('fd00::2');
const NOTHING = { addresses: [], pods: undefined };

function world({ broken = '' } = {}) {
  const calls: string[] = [];
  const said: string[] = [];
  const host = {
    broken,
    present: new Map<Cidr, string>(),
    open: 0,
    slow: Promise.resolve(),
  };
  const clock = new FakeClock();
  const fail = (what: string) => {
    if (host.broken === what) throw Object.assign(new Error(`no ${what}`), { code: 'EPERM' });
  };
  const lookup = (wanted = true) =>
    new SocketLookup({
      wanted,
      engine: {
        setUntranslatedRanges: (ranges) => {
          fail('lookup');
          calls.push(`ranges ${ranges.length / 17}`);
        },
      },
      routes: {
        put: async ({ cidr, source }: LocalRange) => {
          fail('route');
          host.present.set(cidr, source);
          calls.push(`put ${cidr} ${source}`);
        },
        restore: async ({ cidr, source }: LocalRange) => {
          fail('route');
          const missing = !host.present.has(cidr);
          host.present.set(cidr, source);
          return missing;
        },
        remove: async (cidr: Cidr) => {
          calls.push(`remove ${cidr}`);
          await host.slow;
          return host.present.delete(cidr);
        },
        list: async (family: IpFamily) =>
          [...host.present.keys()].filter((each) => each.includes(':') === (family === 'IPv6')),
      },
      connections: async () => {
        fail('diag');
        return host.open;
      },
      say: (level, text) => said.push(`${level} ${text}`),
      clock,
    });
  return { host, calls, said, lookup, clock };
}

t.test('the engine takes them before packets come, and routes go after the rules', async (t) => {
  const { host, calls, said, lookup, clock } = world();
  host.present.set(cidr('10.0.0.0/16'), 'of an earlier run');
  const own = lookup();
  await own.prepare('IPv4', V4, NODE, NOTHING);
  await own.prepare('IPv6', V6, NODE6, NOTHING);
  t.strictSame(calls.splice(0), [
    'ranges 0',
    'ranges 1',
    'put 10.96.0.0/12 192.168.0.2',
    'ranges 2',
    'put fd00:96::/108 fd00::2',
  ]);
  t.strictSame([own.ranges('IPv4'), own.ranges('IPv6')], [V4, V6]);
  await own.settle();
  await clock.pass(1000);
  t.strictSame(calls.splice(0), ['remove 10.0.0.0/16']);
  const before = own.ranges('IPv4');
  await own.prepare('IPv4', V4, NODE, NOTHING);
  t.strictSame(calls.splice(0), [], 'nothing is new');
  await own.prepare('IPv4', [...V4], ip('192.168.0.3'), NOTHING);
  t.strictSame(calls.splice(0), ['put 10.96.0.0/12 192.168.0.3'], 'another address of the node');
  t.equal(own.ranges('IPv4'), before, 'which is nothing to the rules');
  await own.prepare('IPv4', [], NODE, NOTHING);
  t.strictSame(calls.splice(0), [], 'rules still count on them');
  await own.settle();
  await clock.pass(999);
  t.strictSame(calls.splice(0), [], 'connections may be about to stand');
  host.open = 1;
  await clock.pass(10_000);
  t.strictSame(calls.splice(0), [], 'one is open');
  await own.settle();
  host.open = 0;
  await clock.pass(1000);
  t.strictSame(calls.splice(0), ['remove 10.96.0.0/12', 'ranges 1']);
  t.equal(clock.waiting, 0);
  t.strictSame(said, []);
});

t.test('a range in which somebody else is stays as it is', async (t) => {
  const { calls, lookup } = world();
  const own = lookup();
  calls.splice(0);
  for (const others of [
    { addresses: [ip('10.100.0.1')], pods: undefined },
    { addresses: [], pods: cidr('10.97.0.0/16') },
    { addresses: [], pods: cidr('10.0.0.0/8') },
  ]) {
    await own.prepare('IPv4', [...V4], NODE, others);
    t.strictSame(own.ranges('IPv4'), []);
  }
  t.notMatch(calls, /put/);
});

t.test('a kernel without it, or without the right', async (t) => {
  const { calls, said, lookup } = world({ broken: 'lookup' });
  const own = lookup();
  t.notOk(own.isUsable);
  await own.prepare('IPv4', V4, NODE, NOTHING);
  t.strictSame(own.ranges('IPv4'), []);
  t.match(said, [/^info cluster IPs are reached by redirection: .*no lookup/]);
  t.strictSame(calls, []);
});

t.test('one that is not wanted takes away what another left', async (t) => {
  const { host, calls, lookup, clock } = world({ broken: 'diag' });
  host.present.set(cidr('10.96.0.0/12'), '192.168.0.2');
  const own = lookup(false);
  t.notOk(own.isUsable);
  await own.prepare('IPv4', V4, NODE, NOTHING);
  t.strictSame(own.ranges('IPv4'), [], 'rules redirect');
  await own.settle();
  await clock.pass(1000);
  t.strictSame(calls, ['remove 10.96.0.0/12'], 'also where the kernel does not tell of connections');
});

t.test('a range that is wanted again before its connections have ended', async (t) => {
  const { host, calls, lookup, clock } = world();
  const own = lookup();
  await own.prepare('IPv4', V4, NODE, NOTHING);
  host.open = 1;
  await own.prepare('IPv4', [], NODE, NOTHING);
  await own.settle();
  await clock.pass(3000);
  await own.prepare('IPv4', V4, NODE, NOTHING);
  await own.settle();
  host.open = 0;
  await clock.pass(3000);
  t.strictSame([...host.present.keys()], V4);
  await own.prepare('IPv4', [], NODE, NOTHING);
  await own.settle();
  own.close();
  await clock.pass(3000);
  t.strictSame([...host.present.keys()], V4, 'closed, it does no more');
  t.strictSame(
    calls.filter((call) => call.startsWith('remove')),
    [],
  );
});

t.test('a range that is wanted again while its route is being taken away', async (t) => {
  const { host, calls, lookup, clock } = world();
  const own = lookup();
  await own.prepare('IPv4', V4, NODE, NOTHING);
  await own.prepare('IPv4', [], NODE, NOTHING);
  await own.settle();
  let ends = () => {};
  host.slow = new Promise((resolve) => {
    ends = resolve;
  });
  await clock.pass(1000);
  t.equal(calls.at(-1), 'remove 10.96.0.0/12', 'on its way');
  const again = own.prepare('IPv4', V4, NODE, NOTHING);
  setImmediate(ends);
  await again;
  await clock.pass(5000);
  t.ok(host.present.has(V4[0] as Cidr), 'the route is there');
  t.strictSame(own.ranges('IPv4'), V4);
  t.equal(calls.filter((call) => call.startsWith('ranges')).at(-1), 'ranges 1', 'and the engine knows');
});

t.test('a route that cannot be: rules redirect, and the next sync tries again', async (t) => {
  const { host, said, lookup } = world({ broken: 'route' });
  const own = lookup();
  await own.prepare('IPv4', V4, NODE, NOTHING);
  await own.prepare('IPv4', V4, NODE, NOTHING);
  t.strictSame(own.ranges('IPv4'), []);
  t.match(said, [/^warn IPv4 cluster IPs are reached by redirection: no route/], 'that is said once');
  host.broken = '';
  await own.prepare('IPv4', V4, NODE, NOTHING);
  t.strictSame(own.ranges('IPv4'), V4);
});

t.test('a route that somebody removed is back', async (t) => {
  const { host, lookup } = world();
  const own = lookup();
  await own.prepare('IPv4', V4, NODE, NOTHING);
  t.equal(await own.verify(), undefined);
  host.present.clear();
  t.equal(await own.verify(), 'the local route of 10.96.0.0/12 was gone');
  t.equal(await own.verify(), undefined);
  host.broken = 'route';
  t.match(await own.verify(), /cannot be looked after: no route/);
});

t.test('ranges as the engine wants them', async (t) => {
  const [first, second] = [encodeRanges(V4), encodeRanges(V6)].map((bytes) =>
    Buffer.from(bytes).toString('hex'),
  );
  t.equal(first, `6c${'00'.repeat(10)}ffff0a600000`);
  t.equal(second, `6cfd000096${'00'.repeat(12)}`);
});

/** When the cleaner looks, at what, and what it remembers. */
import t from 'tap';
import { type CleanReport, ConntrackCleaner } from '../../../../src/dataplane/conntrack/ConntrackCleaner.js';
import { ConntrackStatus, IpProtocol } from '../../../../src/kernel/conntrack/constants.js';
import { IP_FAMILIES } from '../../../../src/net/ip.js';
import type { ApiObject, ObjectChange } from '../../../../src/objects/ApiObject.js';
import type { Protocol } from '../../../../src/objects/Service.js';
import {
  endpoint,
  endpointPort,
  ip,
  port,
  remove,
  service,
  slice,
  tableOf,
  upsert,
} from '../../../support/builders.js';
import { entryOf, FakeConntrack } from './entries.js';
import { ManualClock } from './ManualClock.js';

const HOST = [ip('192.168.0.2')];
const UDP = { family: 'IPv4', protocol: IpProtocol.UDP } as const;
const TCP = {
  family: 'IPv4',
  protocol: IpProtocol.TCP,
  status: { mask: ConntrackStatus.SEEN_REPLY, value: 0 },
} as const;

const dns = service({ name: 'dns', ports: [port({ protocol: 'UDP', port: 53 })] });
const web = service({ name: 'web', clusterIPs: { IPv4: ip('10.96.0.20') }, ports: [port()] });

function pods(name: string, protocol: Protocol, ...addresses: string[]) {
  const ports = [endpointPort({ protocol, port: 8080 })];
  return slice(
    addresses.map((address) => endpoint(address)),
    { name, serviceName: name, ports },
  );
}
const dnsPods = (...addresses: string[]) => upsert(pods('dns', 'UDP', ...addresses));
const webPods = (...addresses: string[]) => upsert(pods('web', 'TCP', ...addresses));

function setUp(...objects: ApiObject[]) {
  const table = tableOf(objects);
  const conntrack = new FakeConntrack();
  const clock = new ManualClock();
  const postponed: (CleanReport | Error)[] = [];
  const cleaner = new ConntrackCleaner({
    conntrack,
    clock,
    onPostponed: (cleaning) => {
      cleaning.then(
        (report) => postponed.push(report),
        (error) => postponed.push(error),
      );
    },
  });
  const take = (...changes: ObjectChange[]) => {
    table.apply(changes);
    const { families } = table.commit();
    for (const family of IP_FAMILIES) cleaner.take(family, families[family]);
  };
  const clean = () => cleaner.clean(HOST);
  const change = async (...changes: ObjectChange[]) => {
    take(...changes);
    return clean();
  };
  /** What the kernel was asked for since the last time. */
  const asked = () => conntrack.lists.splice(0);
  return { conntrack, clock, postponed, cleaner, take, clean, change, asked };
}

t.test('the first call looks at everything, the next ones at nothing', async (t) => {
  const { conntrack, clock, clean, change, asked } = setUp(
    dns,
    web,
    pods('dns', 'UDP', '10.1.0.1'),
    pods('web', 'TCP', '10.1.0.2'),
  );
  conntrack.entries = [
    entryOf({ to: '10.96.0.10:53', nat: '10.9.9.9:8080' }),
    entryOf({ to: '10.96.0.20:80', protocol: 'TCP' }),
    entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' }),
  ];
  t.strictSame(await change(), { deleted: 2 });
  t.strictSame(asked(), [UDP, TCP], 'and not IPv6, where there is no service port');
  t.equal(conntrack.entries.length, 1);
  await clock.advance(5000);
  t.strictSame(await clean(), { deleted: 0 });
  t.strictSame(asked(), []);
  t.equal(clock.pending, 0);
});

t.test('changes that leave nothing behind', async (t) => {
  const { clock, change, asked } = setUp(dns, pods('dns', 'UDP', '10.1.0.1'));
  await change();
  asked();
  await clock.advance(5000);
  await change(dnsPods('10.1.0.1', '10.1.0.2'));
  await change(upsert({ ...dns, affinitySeconds: 100 }));
  const sctp = service({
    name: 'sctp',
    clusterIPs: { IPv4: ip('10.96.0.30') },
    ports: [port({ protocol: 'SCTP' })],
  });
  await change(upsert(sctp), upsert(pods('sctp', 'SCTP', '10.1.0.3')));
  await change(remove(sctp));
  await clock.advance(5000);
  t.strictSame(asked(), []);
});

t.test('a lost endpoint is looked for by name', async (t) => {
  const { conntrack, clock, change, asked } = setUp(dns, pods('dns', 'UDP', '10.1.0.1', '10.1.0.2'));
  await change();
  asked();
  await clock.advance(5000);
  conntrack.entries = [
    entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' }),
    entryOf({ to: '10.96.0.10:53', nat: '10.1.0.2:8080' }),
    entryOf({ to: '10.7.7.7:53', nat: '10.1.0.2:8080' }),
  ];
  t.strictSame(await change(dnsPods('10.1.0.1')), { deleted: 1 });
  t.strictSame(asked(), [{ ...UDP, replySource: { address: '10.1.0.2', port: 8080 } }]);

  await clock.advance(5000);
  t.strictSame(await change(dnsPods()), { deleted: 1 }, 'the last one too');
  t.strictSame(asked(), [{ ...UDP, replySource: { address: '10.1.0.1', port: 8080 } }]);
  t.equal(conntrack.entries.length, 1);

  await clock.advance(5000);
  await change(dnsPods('10.1.0.3'));
  t.strictSame(asked(), [UDP], 'a first endpoint: what was sent before may have gone anywhere');
});

t.test('many lost endpoints, or a kernel that cannot select: one list', async (t) => {
  const three = [1, 2, 3].map((i) => `10.1.0.${i}`);
  const { conntrack, clock, change, asked } = setUp(dns, pods('dns', 'UDP', ...three, '10.1.0.6'));
  await change();
  asked();
  await clock.advance(5000);
  await change(dnsPods('10.1.0.6'));
  t.strictSame(asked(), [UDP]);
  await clock.advance(5000);
  conntrack.selects = [];
  await change(dnsPods('10.1.0.7'));
  t.strictSame(asked(), [UDP]);
});

t.test('a Service that goes, a VIP that comes', async (t) => {
  const { conntrack, clock, change, asked } = setUp(dns, pods('dns', 'UDP', '10.1.0.1'));
  await change();
  asked();
  await clock.advance(5000);
  conntrack.entries = [
    entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' }),
    entryOf({ to: '1.2.3.4:53' }),
    entryOf({ to: '5.6.7.8:53' }),
  ];
  t.strictSame(await change(upsert({ ...dns, externalIPs: [ip('1.2.3.4')] })), { deleted: 1 });
  t.strictSame(asked(), [UDP]);
  await clock.advance(5000);
  conntrack.entries.push(entryOf({ to: '192.168.0.2:30053' }));
  const withNodePort = { ...dns, ports: [port({ protocol: 'UDP', port: 53, nodePort: 30053 })] };
  t.strictSame(await change(upsert({ ...withNodePort, type: 'NodePort' })), { deleted: 1 }, 'a node port');
  asked();
  await clock.advance(5000);
  t.strictSame(await change(remove(dns)), { deleted: 1 });
  t.strictSame(asked(), [{ ...UDP, replySource: { address: '10.1.0.1', port: 8080 } }]);
  t.equal(conntrack.entries.length, 1);
});

t.test('a thousand other changes a second while DNS rolls', async (t) => {
  const { conntrack, clock, postponed, change, asked } = setUp(
    dns,
    web,
    pods('dns', 'UDP', '10.1.0.1', '10.1.0.2'),
    pods('web', 'TCP', '10.2.0.1', '10.2.0.2'),
  );
  await change();
  asked();
  await clock.advance(5000);
  await change(dnsPods('10.1.0.2', '10.1.0.3'));
  t.equal(asked().length, 1, 'a lost UDP endpoint after a pause: at once');
  for (let i = 0; i < 1000; i++) {
    conntrack.entries.push(entryOf({ to: '10.96.0.20:80', nat: `10.2.0.${i % 2}:8080`, protocol: 'TCP' }));
    await change(webPods(`10.2.0.${1 - (i % 2)}`, '10.2.0.7'));
    if (i === 10) {
      conntrack.entries.push(entryOf({ to: '10.96.0.10:53', nat: '10.1.0.2:8080' }));
      await change(dnsPods('10.1.0.3', '10.1.0.4'));
    }
    if (i === 100) t.ok(conntrack.entries.every((entry) => entry.original.protocol === IpProtocol.TCP));
    await clock.advance(1);
  }
  const lists = asked();
  t.equal(lists.filter((list) => list.protocol === IpProtocol.UDP).length, 1, 'only DNS matters to UDP');
  t.ok(
    lists.filter((list) => list.protocol === IpProtocol.TCP).length <= 4,
    'at most two looks of at most two walks',
  );
  t.match(postponed, [{ deleted: 1 }], 'nobody called for the one of DNS');
  await clock.advance(2000);
  const left = new Set(conntrack.entries.map((entry) => entry.reply.source));
  t.strictSame([...left], ['10.2.0.0'], 'the last changes are not forgotten');
});

t.test('how long to wait', async (t) => {
  const { clock, postponed, change, asked } = setUp(dns, web, pods('dns', 'UDP', '10.1.0.1'));
  await change();
  asked();
  t.strictSame(await change(dnsPods('10.1.0.2'), webPods('10.2.0.1')), { deleted: 0 });
  await clock.advance(99);
  t.strictSame(asked(), []);
  await clock.advance(1);
  t.match(asked(), [UDP], 'a lost UDP endpoint: 100 ms after the look before');
  await clock.advance(899);
  t.strictSame(asked(), []);
  await clock.advance(1);
  t.strictSame(asked(), [TCP], 'the rest: a second after it');
  t.equal(postponed.length, 2);
  await clock.advance(100);
  await change(upsert({ ...dns, externalIPs: [ip('1.2.3.4')] }));
  t.strictSame(asked(), [UDP]);
  await change(upsert({ ...dns, externalIPs: [ip('1.2.3.5')] }));
  await clock.advance(100);
  t.equal(asked().length, 1, 'a lost VIP is as urgent');
  await change(upsert({ ...dns, externalIPs: [ip('1.2.3.5'), ip('1.2.3.6')] }));
  await clock.advance(999);
  t.strictSame(asked(), [], 'a new one is not');
  await clock.advance(1);
  t.strictSame(asked(), [UDP]);
});

t.test('a timer that runs out early', async (t) => {
  const { conntrack, clock, postponed, change } = setUp(dns, pods('dns', 'UDP', '10.1.0.1'));
  await change();
  conntrack.entries = [entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' })];
  clock.earlyMs = 0.75;
  await change(dnsPods('10.1.0.2'));
  await clock.advance(200);
  t.strictSame(postponed, [{ deleted: 1 }]);
});

t.test('a failed sync loses nothing', async (t) => {
  const { conntrack, clock, take, clean, change, asked } = setUp(dns, pods('dns', 'UDP', '10.1.0.1'));
  await change();
  asked();
  await clock.advance(5000);
  conntrack.entries = [entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' })];
  take(dnsPods('10.1.0.2'));
  take(dnsPods('10.1.0.3'));
  await clock.advance(5000);
  t.strictSame(asked(), [], 'not before the rules are there: old rules would make the entry again');
  t.strictSame(await clean(), { deleted: 1 });
});

t.test('a failed look is made again', async (t) => {
  const { conntrack, clock, postponed, clean, change, asked } = setUp(dns, pods('dns', 'UDP', '10.1.0.1'));
  await change();
  await clock.advance(5000);
  asked();
  conntrack.entries = [entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' })];
  conntrack.failure = new Error('no memory');
  await t.rejects(change(dnsPods('10.1.0.2')), { message: 'no memory' });
  t.equal(asked().length, 1);
  t.strictSame(await clean(), { deleted: 0 });
  t.strictSame(asked(), [], 'not at once');
  conntrack.failure = new Error('again');
  await clock.advance(1000);
  t.match(postponed, [{ message: 'again' }]);
  await clock.advance(1999);
  t.equal(asked().length, 1);
  await clock.advance(1);
  t.match(postponed, [{}, { deleted: 1 }], 'by itself, the second time after two seconds');
  t.strictSame(conntrack.entries, []);
  await change(dnsPods('10.1.0.3'));
  await clock.advance(100);
  t.equal(asked().length, 2, 'and is as quick as before');
});

t.test('a look that fails does not keep the others from being made', async (t) => {
  const { conntrack, change, asked } = setUp(dns, web);
  conntrack.entries = [entryOf({ to: '10.96.0.20:80', protocol: 'TCP' })];
  conntrack.failure = new Error('UDP');
  await t.rejects(change(), { message: 'UDP' });
  t.strictSame(asked(), [UDP, TCP]);
  t.strictSame(conntrack.entries, []);
});

t.test('changes during a look are for the next one', async (t) => {
  const { conntrack, clock, take, clean, change } = setUp(dns, pods('dns', 'UDP', '10.1.0.1', '10.1.0.2'));
  await change();
  await clock.advance(5000);
  conntrack.entries = [entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' })];
  let during: Promise<CleanReport> | undefined;
  conntrack.meanwhile = () => {
    conntrack.meanwhile = undefined;
    conntrack.entries.push(entryOf({ to: '10.96.0.10:53', nat: '10.1.0.2:8080' }));
    take(dnsPods('10.1.0.3'));
    during = clean();
  };
  t.strictSame(await change(dnsPods('10.1.0.2')), { deleted: 1 });
  t.strictSame(await during, { deleted: 0 });
  t.equal(conntrack.entries.length, 1);
  await clock.advance(100);
  t.strictSame(conntrack.entries, []);
});

t.test('an endpoint that came back keeps its clients', async (t) => {
  const { conntrack, clock, take, change } = setUp(dns, pods('dns', 'UDP', '10.1.0.1', '10.1.0.2'));
  await change();
  await clock.advance(5000);
  conntrack.entries = [entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' })];
  take(dnsPods('10.1.0.2'));
  t.strictSame(await change(dnsPods('10.1.0.1', '10.1.0.2')), { deleted: 0 });
  t.equal(conntrack.entries.length, 1);
});

t.test('an endpoint that went before its VIP did', async (t) => {
  const { conntrack, clock, take, change } = setUp(dns, pods('dns', 'UDP', '10.1.0.1', '10.1.0.2'));
  await change();
  await clock.advance(5000);
  conntrack.entries = [
    entryOf({ to: '10.96.0.10:53', nat: '10.1.0.1:8080' }),
    entryOf({ to: '10.96.0.10:53', nat: '10.1.0.2:8080' }),
    entryOf({ to: '10.96.0.10:53', nat: '10.9.9.9:8080' }),
  ];
  take(dnsPods('10.1.0.2'));
  take(dnsPods());
  t.strictSame(await change(remove(dns)), { deleted: 2 });
  t.match(conntrack.entries, [{ reply: { source: '10.9.9.9' } }]);
});

t.test('stop', async (t) => {
  const { conntrack, clock, cleaner, clean, change, asked } = setUp(dns, pods('dns', 'UDP', '10.1.0.1'));
  await change();
  asked();
  await change(dnsPods('10.1.0.2'));
  t.equal(clock.pending, 1);
  await cleaner.stop();
  t.equal(clock.pending, 0);
  await clean();
  await clock.advance(5000);
  t.strictSame(asked(), []);

  const other = setUp(dns);
  let ended = false;
  other.conntrack.meanwhile = () => {
    ended = true;
  };
  const running = other.change();
  await other.cleaner.stop();
  t.ok(ended, 'waits for the look in progress');
  await running;
  t.equal(conntrack.lists.length, 0);
});

t.test('what is remembered does not grow for ever', async (t) => {
  const { conntrack, clock, take, clean, change, asked } = setUp(dns, pods('dns', 'UDP', '10.1.0.1'));
  await change();
  asked();
  await clock.advance(5000);
  for (let i = 0; i < 11_000; i++) {
    const gone = service({
      name: `s${i}`,
      clusterIPs: { IPv4: ip(`10.97.${i >> 8}.${i & 255}`) },
      ports: [port({ protocol: 'UDP' })],
    });
    take(upsert(gone), upsert(pods(`s${i}`, 'UDP', '10.3.0.1')));
    take(remove(gone), remove(pods(`s${i}`, 'UDP')));
  }
  conntrack.entries = [
    entryOf({ to: '10.97.0.0:80', nat: '10.3.0.1:8080' }),
    entryOf({ to: '10.97.40.0:80', nat: '10.3.0.1:8080' }),
  ];
  t.strictSame(await clean(), { deleted: 1 }, 'of the latest that went');
  t.match(conntrack.entries, [{ original: { destination: '10.97.0.0' } }]);
});

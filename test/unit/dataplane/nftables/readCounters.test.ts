import { constants } from 'node:os';
import fc from 'fast-check';
import t from 'tap';
import { ConnectionCounters } from '../../../../src/dataplane/nftables/ConnectionCounters.js';
import { Collected } from '../../../../src/dataplane/nftables/plan/Collected.js';
import { type CountingTable, readCounters } from '../../../../src/dataplane/nftables/readCounters.js';
import { NetlinkError } from '../../../../src/kernel/netlink/NetlinkError.js';
import type { ReadElement } from '../../../../src/kernel/nftables/elements.js';
import { IP_FAMILIES } from '../../../../src/net/ip.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { changes } from '../../../support/arbitraries.js';
import { ip, port, service, slice, tableOf } from '../../../support/builders.js';

const COUNTED_SETS = ['service-ips', 'node-ports'] as const;

interface FakeTable extends CountingTable {
  /** How often a map was listed. */
  listed: number;
  error: Error | undefined;
}

/** A kernel that has what the dataplane writes for these service ports; the n-th element counted n packets. */
function fakeTable(
  family: 'IPv4' | 'IPv6',
  ports: Iterable<ServicePort>,
): FakeTable & { counts: Map<string, number> } {
  const counts = new Map<string, number>();
  const elements: Record<string, ReadElement[]> = {};
  let packets = 0;
  for (const each of ports) {
    const collected = new Collected();
    collected.add(each);
    for (const set of COUNTED_SETS) {
      for (const key of collected.sets.get(set)?.keys ?? []) {
        packets++;
        elements[set] ??= [];
        elements[set].push({ key, value: 'chain', counters: { packets, bytes: packets * 60 } });
        counts.set(each.key, (counts.get(each.key) ?? 0) + packets);
      }
    }
  }
  return {
    family,
    counts,
    listed: 0,
    error: undefined,
    async readElements(set, take) {
      this.listed++;
      if (this.error) throw this.error;
      for (const element of elements[set.name] ?? []) take(element);
    },
  };
}

t.test('each element counts for the service port that wrote it, once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(changes, { maxLength: 30 }), async (history) => {
      const routing = tableOf([]);
      routing.apply(history);
      routing.commit();
      for (const family of IP_FAMILIES) {
        const ports = [...routing.servicePorts(family).values()];
        const table = fakeTable(family, ports);
        const read = await readCounters(table, ports);
        if (read.length !== ports.length) throw new Error(`${read.length} of ${ports.length} service ports`);
        for (const [i, { servicePort, connections, bytes }] of read.entries()) {
          if (servicePort !== ports[i]) throw new Error(`${servicePort.key} is out of order`);
          const expected = table.counts.get(servicePort.key) ?? 0;
          if (connections !== expected || bytes !== expected * 60) {
            throw new Error(`${family} ${servicePort.key}: ${connections}, expected ${expected}`);
          }
        }
      }
    }),
  );
});

const routing = tableOf([
  service({ externalIPs: [ip('192.0.2.1')], type: 'NodePort', ports: [port({ nodePort: 30080 })] }),
  slice([]),
]);
routing.commit();

function counters() {
  const clock = { now: 0 };
  const table = fakeTable('IPv4', routing.servicePorts('IPv4').values());
  let quiet = Promise.resolve();
  const busyUntil = (until: Promise<void>) => {
    quiet = until;
  };
  const reader = new ConnectionCounters(
    [table, fakeTable('IPv6', [])],
    () => clock.now,
    () => quiet,
  );
  const connections = async () => (await reader.read(routing)).map((each) => each.connections);
  return { clock, table, busyUntil, connections };
}

t.test('at most once a second', async (t) => {
  const { clock, table, connections } = counters();
  t.strictSame(
    await Promise.all([connections(), connections()]),
    [[6], [6]],
    'cluster IP, external IP, node port',
  );
  t.equal(table.listed, 2, 'each map once');
  clock.now = 999;
  await connections();
  t.equal(table.listed, 2);
  clock.now = 1000;
  await connections();
  t.equal(table.listed, 4);
});

t.test('waits until a sync has ended', async (t) => {
  const { table, busyUntil, connections } = counters();
  let end = () => {};
  busyUntil(
    new Promise((resolve) => {
      end = resolve;
    }),
  );
  const reading = connections();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(table.listed, 0);
  end();
  t.strictSame(await reading, [6]);
});

t.test('no table: nothing was counted', async (t) => {
  const { table, connections } = counters();
  table.error = new NetlinkError('list', { errno: -constants.errno.ENOENT });
  t.strictSame(await connections(), []);
});

t.test('a failure is not kept', async (t) => {
  const { table, connections } = counters();
  table.error = new NetlinkError('list', { errno: -constants.errno.EINTR });
  await t.rejects(connections(), { code: 'EINTR' });
  table.error = undefined;
  t.strictSame(await connections(), [6]);
});

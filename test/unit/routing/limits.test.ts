/** What one object, or many on one address, may cost; and a commit that is interrupted. */
import t from 'tap';
import type { IpFamily } from '../../../src/net/ip.js';
import type { Service } from '../../../src/objects/Service.js';
import { MOST_ENTRIES, MOST_PAIRS_OF_ENDPOINTS } from '../../../src/routing/build/budget.js';
import { MOST_PAIRS } from '../../../src/routing/claims/wantedVips.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
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
} from '../../support/builders.js';

const numbered = <T>(count: number, make: (i: number) => T) =>
  Array.from({ length: count }, (_, i) => make(i));
const externalIP = (i: number) => ip(`198.18.${i >> 8}.${i & 255}`);
const podIP = (i: number) => ip(`10.${128 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`);

function size(table: RoutingTable, family: IpFamily = 'IPv4') {
  let pairs = 0;
  let endpoints = 0;
  let entries = 0;
  for (const found of table.servicePorts(family).values()) {
    const vips = found.externalIPs.length + found.loadBalancerIPs.length;
    pairs += vips;
    endpoints += found.endpoints.all.length;
    entries += vips * found.endpoints.all.length;
  }
  return { pairs, endpoints, entries };
}

/** Milliseconds of processor time: others may use the machine. */
function cost(action: () => void): number {
  const before = process.cpuUsage();
  action();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

t.test('an object of 38 kB cannot ask for more than its share of addresses', async (t) => {
  const greedy = service({
    ports: numbered(600, (i) => port({ name: `p${i}`, port: 1000 + i })),
    externalIPs: numbered(1200, externalIP),
  });
  const table = tableOf([greedy]);
  t.ok(cost(() => table.commit()) < 1500);
  t.equal(size(table).pairs, 600 * 6, 'whole addresses');
  t.ok(size(table).pairs <= MOST_PAIRS);
  t.equal(table.servicePorts('IPv4').get('shop/cart:p0/TCP')?.clusterIP, '10.96.0.10');
  t.match(table.problems(), [
    { subject: 'Service shop/cart', message: /^1194 of its external and load-balancer IPs are not served/ },
  ]);
});

t.test('a Service of many ports keeps its load-balancer IP', async (t) => {
  const media = service({
    type: 'LoadBalancer',
    ports: numbered(10_000, (i) => port({ name: `p${i}`, port: 10_000 + i, protocol: 'UDP' })),
    loadBalancerIngress: [{ ip: externalIP(1), ipMode: 'VIP' }],
  });
  const table = tableOf([media]);
  t.ok(cost(() => table.commit()) < 1500);
  t.equal(size(table).pairs, 10_000);
  t.same(table.problems(), []);
});

t.test('100 ports × 100 external IPs × 1000 endpoints', async (t) => {
  const ports = numbered(100, (i) => port({ name: `p${i}`, port: 1000 + i }));
  const greedy = service({ ports, externalIPs: numbered(100, externalIP) });
  const many = slice(
    numbered(1000, (i) => endpoint(podIP(i))),
    {
      ports: ports.map(({ name }, i) => endpointPort({ name, port: 2000 + i })),
    },
  );
  const table = tableOf([greedy, many]);
  const ms = cost(() => table.commit());
  t.ok(ms < 3000, `${ms} ms`);
  const { entries, endpoints } = size(table);
  t.equal(endpoints, 100_000);
  t.ok(entries <= MOST_ENTRIES && entries > MOST_ENTRIES / 4, `${entries} entries`);
  t.match(table.problems(), [
    { message: /of its external and load-balancer IPs are not served: with 100 ports/ },
  ]);
  table.apply([remove(many)]);
  table.commit();
  t.equal(size(table).pairs, 100 * 40, 'without endpoints there is room for more');
});

t.test('ports × endpoints: those that are ready come first, the local ones among them', async (t) => {
  const ports = numbered(1000, (i) => port({ name: `p${i}`, port: 1000 + i }));
  const pods = numbered(1000, (i) =>
    endpoint(podIP(i), { nodeName: i % 100 === 99 ? 'node1' : 'node2', ready: i % 2 === 1 }),
  );
  const many = slice(pods, { ports: ports.map(({ name }, i) => endpointPort({ name, port: 2000 + i })) });
  const table = tableOf([service({ ports }), many]);
  const ms = cost(() => table.commit());
  t.ok(ms < 3000, `${ms} ms`);
  t.ok(size(table).endpoints <= MOST_PAIRS_OF_ENDPOINTS);
  const found = table.servicePorts('IPv4').get('shop/cart:p7/TCP')?.endpoints.all ?? [];
  t.equal(found.length, 131);
  t.equal(found.filter((e) => e.local).length, 10);
  t.ok(found.every((e) => e.ready));
  t.match(table.problems(), [
    { message: /^1000 ports with 1000000 endpoints in sum .* only 131 endpoints of each port/ },
  ]);
});

const crowd = (count: number, fields: (i: number) => Partial<Service> = () => ({})) =>
  numbered(count, (i) =>
    service({
      name: `s${i}`,
      created: i,
      clusterIPs: { IPv4: ip(`10.97.${i >> 8}.${i & 255}`) },
      externalIPs: [externalIP(1)],
      ...fields(i),
    }),
  );

t.test(
  '3000 Services on one external IP cost no square, at once or one by one, in coming and in going',
  async (t) => {
    const count = 3000;
    const services = crowd(count);
    for (const order of [services, services.toReversed()]) {
      const table = tableOf([]);
      const coming = cost(() => {
        for (const each of order) {
          table.apply([upsert(each)]);
          table.commit();
        }
      });
      t.ok(coming < 1500, `${coming} ms for coming one by one`);
      t.equal(size(table).pairs, 1);
      const going = cost(() => {
        for (const each of services) {
          table.apply([remove(each)]);
          table.commit();
        }
      });
      t.ok(going < 3000, `${going} ms for going one by one`);
    }
    const table = tableOf(services);
    const once = cost(() => table.commit());
    t.ok(once < 1000, `${once} ms at once`);
    const asked = cost(() => {
      for (let i = 0; i < 100; i++) table.problems();
    });
    t.ok(asked < 500, `${asked} ms for asking 100 times`);
    t.equal(table.problems().length, 201, 'a bounded number');
    t.match(table.problems().at(-1), {
      subject: 'Services',
      message: /^2799 more Services are not served in full/,
    });
  },
);

t.test('a change among the losers changes nothing for the others', async (t) => {
  const table = tableOf(crowd(50));
  table.commit();
  const [loser] = crowd(1, () => ({ name: 's30', created: 30, ports: [port({ port: 81 })] }));
  table.apply([upsert(loser as Service)]);
  t.same(
    table.commit().families.IPv4.map(({ key }) => key),
    ['shop/s30/TCP'],
  );
});

/** A Service that throws when the family is looked at, until it is told not to. */
function trap(family: IpFamily): { service: Service; disarm: () => void } {
  let armed = true;
  const inner = service({
    name: 'trap',
    created: 1,
    clusterIPs: { IPv4: ip('10.96.9.1'), IPv6: ip('fd00::9') },
  });
  const clusterIPs = new Proxy(inner.clusterIPs, {
    get(target, name) {
      if (armed && name === family) throw new Error('trapped');
      return Reflect.get(target, name);
    },
  });
  return { service: { ...inner, clusterIPs }, disarm: () => (armed = false) };
}

t.test('what cannot be built stops nobody else, loses nothing, and heals', async (t) => {
  for (const family of ['IPv4', 'IPv6'] as const) {
    const { service: bad, disarm } = trap(family);
    const both = service({ clusterIPs: { IPv4: ip('10.96.0.10'), IPv6: ip('fd00::10') } });
    const table = tableOf([bad, both]);
    const other = family === 'IPv4' ? 'IPv6' : 'IPv4';
    let changes: ReturnType<RoutingTable['commit']> | undefined;
    try {
      changes = table.commit();
    } catch {
      // Then the next commit has to tell all of it.
    }
    table.apply([upsert(service({ name: 'next', clusterIPs: { IPv4: ip('10.96.0.11') } }))]);
    const later = table.commit();
    const told = (which: IpFamily) =>
      [...(changes?.families[which] ?? []), ...later.families[which]].map(({ key }) => key).sort();
    t.same(
      told(other).filter((key) => key !== 'shop/next/TCP'),
      ['shop/cart/TCP', 'shop/trap/TCP'],
    );
    t.same(
      told(family).filter((key) => key !== 'shop/next/TCP'),
      ['shop/cart/TCP'],
    );
    t.match(table.problems(), [{ subject: 'Service shop/trap', message: /cannot be routed.*trapped/ }]);
    disarm();
    t.same(
      table.commit().families[family].map(({ key }) => key),
      ['shop/trap/TCP'],
      'it is tried again without being asked',
    );
    t.same(table.problems(), []);
  }
});

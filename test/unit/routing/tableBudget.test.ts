/** What weights and maglev of one Service, and of all, may cost; who gives way, and what is said. */
import t from 'tap';
import type { Service } from '../../../src/objects/Service.js';
import { MOST_ENTRIES_OF_NODE, MOST_ENTRIES_OF_SERVICE } from '../../../src/routing/build/TableBudget.js';
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
const podIP = (i: number) => ip(`10.${128 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`);
/** Nothing in common: 199 in sum for two. */
const uneven = (count: number) =>
  JSON.stringify(Object.fromEntries(numbered(count, (i) => [podIP(i), i % 2 === 0 ? 100 : 99])));

interface Shape {
  readonly ports?: number;
  readonly endpoints?: number;
  readonly algorithm?: string;
}

/** A Service and its endpoints. */
function pair(
  name: string,
  { ports: count = 1, endpoints = 2, algorithm = 'maglev' }: Shape,
  fields: Partial<Service> = {},
) {
  const names = numbered(count, (i) => `p${i}`);
  return [
    service({
      name,
      options: { algorithm, weights: uneven(endpoints) },
      ports: names.map((each, i) => port({ name: each, port: 1 + i })),
      ...fields,
    }),
    slice(
      numbered(endpoints, (i) => endpoint(podIP(i))),
      {
        name: `${name}-1`,
        namespace: fields.namespace ?? 'shop',
        serviceName: name,
        ports: names.map((each, i) => endpointPort({ name: each, port: 1000 + i })),
      },
    ),
  ] as const;
}

const mostOf = (table: RoutingTable, name: string) =>
  [...table.servicePorts('IPv4').values()].find((found) => `${found.namespace}/${found.service}` === name)
    ?.balancing.mostEntries;

t.test('a Service within its budget has what it wants, and a plain one is not asked', async (t) => {
  const table = tableOf([
    ...pair('small', { ports: 4 }),
    service({ name: 'plain', clusterIPs: { IPv4: ip('10.96.0.11') } }),
  ]);
  table.commit();
  t.equal(mostOf(table, 'shop/small'), undefined);
  t.equal(mostOf(table, 'shop/plain'), undefined);
  t.same(table.problems(), []);
});

t.test('a Service over its budget has smaller tables, and is told what, why and what to do', async (t) => {
  const table = tableOf(pair('big', { ports: 100, endpoints: 20 }));
  table.commit();
  t.equal(mostOf(table, 'shop/big'), 1021);
  t.match(table.problems(), [
    {
      subject: 'Service shop/big',
      message:
        /need 6550100 entries .* more than one Service may have \(262144\): each list has 1021 at most.*use fewer ports/,
    },
  ]);
  const [fewer] = pair('big', { ports: 2, endpoints: 20 });
  table.apply([upsert(fewer)]);
  t.equal(table.commit().families.IPv4.length, 100, 'two change, the others go');
  t.equal(mostOf(table, 'shop/big'), undefined);
  t.same(table.problems(), []);
});

t.test('every address counts, twice under policy Local', async (t) => {
  const externalIPs = numbered(10, (i) => ip(`192.0.2.${i}`));
  for (const [externalTrafficPolicy, most] of [
    ['Cluster', 16_381],
    ['Local', 4093],
  ] as const) {
    const table = tableOf(pair('wide', {}, { externalIPs, externalTrafficPolicy, type: 'LoadBalancer' }));
    table.commit();
    t.equal(mostOf(table, 'shop/wide'), most, externalTrafficPolicy);
  }
});

t.test('where not even the smallest table fits, each endpoint has one entry', async (t) => {
  const table = tableOf(pair('giant', { ports: 10_000, endpoints: 3 }));
  table.commit();
  t.equal(mostOf(table, 'shop/giant'), 0);
  t.match(table.problems(), [{ message: /each endpoint has one entry, whatever its weight/ }]);
});

t.test(
  'lists that are longer than the table that is left are said to have one entry for each endpoint',
  async (t) => {
    const table = tableOf(pair('long', { ports: 400, endpoints: 320 }));
    table.commit();
    t.equal(mostOf(table, 'shop/long'), 251);
    t.match(table.problems(), [{ message: /each endpoint has one entry, whatever its weight/ }]);
  },
);

t.test('weights without maglev have a budget too', async (t) => {
  const table = tableOf(pair('heavy', { ports: 200, endpoints: 40, algorithm: 'random' }));
  table.commit();
  t.equal(mostOf(table, 'shop/heavy'), 1021);
});

/** Sixteen tables of 65,521 fit into a node. */
const FULL = Math.floor(MOST_ENTRIES_OF_NODE / 65_519);
const crowd = (count: number, namespace: string, firstCreated: number) =>
  numbered(count, (i) =>
    pair(
      `s${i}`,
      {},
      {
        namespace,
        created: firstCreated + i,
        clusterIPs: { IPv4: ip(`10.97.${namespace.length}.${i}`) },
      },
    ),
  ).flat();

t.test(
  'the node has a budget: the oldest of each namespace come first, in any order of arrival',
  async (t) => {
    const hog = crowd(40, 'hog', 1);
    const late = crowd(2, 'latecomer', 1000);
    const outcomes = [[...hog, ...late], [...late, ...hog], [...hog, ...late].toReversed()].map((objects) => {
      const table = tableOf([]);
      for (const object of objects) {
        table.apply([upsert(object)]);
        table.commit();
      }
      t.equal(mostOf(table, 'latecomer/s0'), undefined, 'one namespace cannot take all');
      t.equal(mostOf(table, 'latecomer/s1'), undefined);
      const shares = numbered(40, (i) => mostOf(table, `hog/s${i}`));
      t.equal(shares.filter((most) => most === undefined).length, FULL - 2);
      t.match(table.problems()[0], { message: /more than other Services leave of what a node may have/ });
      return shares;
    });
    t.same(outcomes[1], outcomes[0]);
    t.same(outcomes[2], outcomes[0]);
  },
);

t.test('who goes makes room, and only those who get it change', async (t) => {
  const table = tableOf(crowd(FULL + 1, 'a', 1));
  table.commit();
  t.not(mostOf(table, `a/s${FULL}`), undefined);
  const [oldest] = crowd(1, 'a', 1);
  table.apply([remove(oldest as Service)]);
  t.same(
    table
      .commit()
      .families.IPv4.map(({ key }) => key)
      .sort(),
    [`a/s0:p0/TCP`, `a/s${FULL}:p0/TCP`],
  );
  t.equal(mostOf(table, `a/s${FULL}`), undefined);
  t.same(table.problems(), []);
});

t.test('2000 such Services cost no square', async (t) => {
  const namespaces = numbered(10, (i) => crowd(200, 'n'.repeat(i + 1), i));
  const table = tableOf([]);
  const before = process.cpuUsage();
  for (const objects of namespaces)
    for (const object of objects) {
      table.apply([upsert(object)]);
      table.commit();
    }
  const { user, system } = process.cpuUsage(before);
  t.ok((user + system) / 1000 < 8000, `${(user + system) / 1000} ms for 4000 commits`);
  let sum = 0;
  for (const { balancing } of table.servicePorts('IPv4').values())
    sum += (balancing.mostEntries ?? 65_521) - 2;
  t.ok(sum <= MOST_ENTRIES_OF_NODE + 2000 * 2, `${sum} entries`);
  t.ok(MOST_ENTRIES_OF_SERVICE < MOST_ENTRIES_OF_NODE);
});

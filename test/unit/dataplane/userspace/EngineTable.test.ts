import fc from 'fast-check';
import t from 'tap';
import { EngineTable, type LeavingEndpoint } from '../../../../src/dataplane/userspace/EngineTable.js';
import { Cells } from '../../../../src/kernel/addon/Cells.js';
import type { IP_FAMILIES } from '../../../../src/net/ip.js';
import type { ApiObject } from '../../../../src/objects/ApiObject.js';
import type { ChangeSet } from '../../../../src/routing/ChangeSet.js';
import type { Endpoint } from '../../../../src/routing/ServicePort.js';
import { routingChanges } from '../../../support/arbitraries.js';
import {
  DEAD,
  endpoint,
  endpointPort,
  port,
  remove,
  SERVING_TERMINATING,
  service,
  slice,
  tableOf,
  upsert,
} from '../../../support/builders.js';
import { openEngine } from '../../../support/proxyEngine.js';

const engine = openEngine();
t.teardown(() => engine.close());
/** Another object at each call. */
const memory = engine.cells;

const DEFAULTS = { udpIdleTimeout: 250, drainTimeout: undefined } as const;
const NOBODY = 0xffffffff;
const CLIENT = Uint8Array.of(203, 0, 113, 9);

function world() {
  const clock = { now: 0 };
  const cells = new Cells(memory, () => clock.now);
  const table = new EngineTable(cells, DEFAULTS);
  return { table, clock };
}

/** Objects → an engine table that is told of every commit. */
function follow(...objects: readonly ApiObject[]) {
  const { table, clock } = world();
  const routing = tableOf(objects);
  const commit = () => {
    const changes = table.apply(routing.commit().families);
    engine.update(table.records);
    table.said();
    return changes;
  };
  const put = (...next: readonly ApiObject[]) => {
    routing.apply(next.map(upsert));
    return commit();
  };
  const drop = (object: ApiObject) => {
    routing.apply([remove(object)]);
    return commit();
  };
  return { table, clock, first: commit(), put, drop };
}

function cellsOf(table: EngineTable): Record<string, number> {
  return Object.fromEntries([...table.rows].flatMap(({ endpoints }) => [...endpoints]));
}

function told(leaving: readonly LeavingEndpoint[]) {
  return leaving.map(({ target, cell, how }) => `${target} ${cell} ${how}`).sort();
}

const ONE = '10.1.0.1:8080';
const TWO = '10.1.0.2:8080';

t.test('an endpoint keeps its cell while it exists', async (t) => {
  const { table, first, put } = follow(service(), slice([endpoint('10.1.0.1'), endpoint('10.1.0.2')]));
  t.strictSame(first.leaving, []);
  const { [ONE]: one = 0, [TWO]: two = 0 } = cellsOf(table);
  t.not(one, two);
  t.equal(table.nameOf(one), ONE);
  t.equal([...table.rows].map(({ cell }) => table.nameOf(cell)).join(), 'shop/cart/TCP');
  t.match(table.nameOf(999_999), 'cell 999999');

  const ending = put(slice([endpoint('10.1.0.1', SERVING_TERMINATING), endpoint('10.1.0.2')]));
  t.strictSame(told(ending.leaving), [`${ONE} ${one} terminating`]);
  t.strictSame(cellsOf(table), { [ONE]: one, [TWO]: two });

  const again = put(slice([endpoint('10.1.0.1', DEAD), endpoint('10.1.0.2')]));
  t.strictSame([told(again.leaving), again.returned], [[], []], 'it is told of once');

  const back = put(slice([endpoint('10.1.0.1'), endpoint('10.1.0.2')]));
  t.strictSame([told(back.leaving), back.returned], [[], [one]]);

  const gone = put(slice([endpoint('10.1.0.2')]));
  t.strictSame(told(gone.leaving), [`${ONE} ${one} removed`]);
  t.strictSame(cellsOf(table), { [TWO]: two });
  const early = put(slice([endpoint('10.1.0.2'), endpoint('10.1.0.3')]));
  t.strictSame(early.returned, [cellsOf(table)['10.1.0.3:8080']]);
  t.not(early.returned[0], one, 'threads may still count in the old one');
});

t.test('whoever gets a cell that others had before is free of what held for them', async (t) => {
  const { table, clock, put } = follow(service(), slice([endpoint('10.1.0.1')]));
  const { [ONE]: one } = cellsOf(table);
  put(slice([endpoint('10.1.0.2')]));
  clock.now += 2000;
  const { returned } = put(slice([endpoint('10.1.0.2'), endpoint('10.1.0.3')]));
  t.equal(cellsOf(table)['10.1.0.3:8080'], one);
  t.strictSame(returned, [one], 'a deadline of the old one must not cut the new one');
});

t.test('all endpoints of a Service that goes are removed', async (t) => {
  const { table, drop } = follow(service(), slice([endpoint('10.1.0.1'), endpoint('10.1.0.2')]));
  const { [ONE]: one, [TWO]: two } = cellsOf(table);
  const [row] = [...table.rows];
  const { leaving } = drop(service());
  t.strictSame(told(leaving), [`${ONE} ${one} removed`, `${TWO} ${two} removed`]);
  t.strictSame([...table.rows], []);
  t.equal(engine.picks(row?.cell ?? 0, 0, 1, CLIENT, new Uint8Array(), 1).length, 0);
});

t.test('SCTP and bad annotations are told until they are gone; the rest is served', async (t) => {
  const ports = [port({ name: 'a' }), port({ name: 'b', protocol: 'SCTP' })];
  const slicePorts = [endpointPort({ name: 'a' }), endpointPort({ name: 'b', protocol: 'SCTP' })];
  const bad = service({ ports, options: { retries: 'many' } });
  const { table, put, drop } = follow(bad, slice([endpoint('10.1.0.1')], { ports: slicePorts }));
  const subject = 'Service shop/cart';
  t.match(
    [...table.problems].sort((a, b) => (a.message < b.message ? -1 : 1)),
    [
      { subject, message: /^SCTP cannot be proxied: .*the other modes serve it$/ },
      { subject, message: /^metadata\.annotations\[penstock\.io\/retries\] is "many"/ },
    ],
  );
  t.strictSame(
    [...table.rows].map(({ port: { portName } }) => portName),
    ['a'],
  );
  put(service({ ports, options: { retries: '1s' } }));
  t.strictSame(
    table.problems.map(({ message }) => message.slice(0, 4)),
    ['SCTP'],
  );
  drop(service());
  t.strictSame(table.problems, []);
});

t.test('more endpoints than there is room for: what was before stays, and nothing is lost', async (t) => {
  const clock = { now: 0 };
  const room = 3;
  const cells = new Cells(new ArrayBuffer(((1 << 18) + room) * 64), () => clock.now);
  const table = new EngineTable(cells, DEFAULTS);
  const routing = tableOf([service(), slice([endpoint('10.1.0.1')])]);
  const put = (...addresses: readonly string[]) => {
    routing.apply([upsert(slice(addresses.map((address) => endpoint(address))))]);
    return table.apply(routing.commit().families);
  };
  table.apply(routing.commit().families);
  table.said();
  const { [ONE]: one } = cellsOf(table);
  const { leaving, returned } = put('10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5');
  t.strictSame([table.records.length, leaving, returned], [0, [], []]);
  t.strictSame(cellsOf(table), { [ONE]: one });
  t.match(table.problems, [{ subject: 'Service shop/cart', message: /^there are more .* has room for/ }]);
  clock.now += 2000;
  t.equal(put('10.1.0.2', '10.1.0.3').leaving.length, 1);
  t.strictSame(table.problems, []);
  t.equal(new Set(Object.values(cellsOf(table))).size, 2);
});

const histories = fc.array(fc.record({ change: routingChanges, commit: fc.boolean() }), {
  minLength: 5,
  maxLength: 30,
  size: 'max',
});

interface Known {
  readonly cell: number;
  readonly endpoints: ReadonlyMap<string, number>;
  readonly serving: ReadonlySet<string>;
}

function rowsOf(table: EngineTable): ReadonlyMap<string, Known> {
  return new Map(
    [...table.rows].map(({ port: { family, key, endpoints: sets }, cell, endpoints }) => [
      `${family} ${key}`,
      { cell, endpoints, serving: namesOf(sets.reachable) },
    ]),
  );
}

function namesOf(endpoints: readonly Endpoint[]): ReadonlySet<string> {
  return new Set(endpoints.map(({ target }) => target));
}

/** Sorted: `target cell how`, and cells. */
function expected(
  before: ReadonlyMap<string, Known>,
  after: ReadonlyMap<string, Known>,
  exists: (key: string, target: string) => boolean,
) {
  const leaving: string[] = [];
  const returned: number[] = [];
  for (const [key, { endpoints, serving }] of before) {
    for (const [target, cell] of endpoints) {
      if (!exists(key, target)) leaving.push(`${target} ${cell} removed`);
      else if (serving.has(target) && !after.get(key)?.serving.has(target)) {
        leaving.push(`${target} ${cell} terminating`);
      }
    }
  }
  for (const [key, { endpoints, serving }] of after) {
    for (const target of serving) {
      if (!before.get(key)?.serving.has(target)) returned.push(endpoints.get(target) as number);
    }
  }
  return { leaving: leaving.sort(), returned: returned.sort((a, b) => a - b) };
}

t.test(
  'after any changes the rows are those of a fresh table, and every step tells what it did',
  async (t) => {
    const seen = { terminating: 0, removed: 0, returned: 0 };
    fc.assert(
      fc.property(histories, (steps) => {
        const { table, clock } = world();
        const routing = tableOf([]);
        const step = () => {
          const before = rowsOf(table);
          const { leaving, returned } = table.apply(routing.commit().families);
          engine.update(table.records);
          table.said();
          const after = rowsOf(table);
          const exists = (key: string, target: string) => {
            const [family = '', ...name] = key.split(' ');
            const found = routing.servicePorts(family as 'IPv4' | 'IPv6').get(name.join(' '));
            return found?.endpoints.all.some((each) => each.target === target) ?? false;
          };
          const own = { leaving: told(leaving), returned: [...returned].sort((a, b) => a - b) };
          same(own, expected(before, after, exists));
          for (const [key, { cell, endpoints }] of before) {
            const now = after.get(key);
            same([key, now?.cell ?? cell], [key, cell]);
            if (!now) same([...engine.picks(cell, 0, 1, CLIENT, new Uint8Array(), 1)], []);
            for (const [target, kept] of endpoints) {
              if (exists(key, target)) same([target, now?.endpoints.get(target)], [target, kept]);
            }
          }
          for (const { how } of leaving) seen[how]++;
          seen.returned += returned.length;
          clock.now += 500;
        };
        for (const { change, commit } of steps) {
          routing.apply([change]);
          if (commit) step();
        }
        step();
        compareToFresh(table, routing);
        for (const cell of rowsOf(table).values()) removeFromEngine(cell.cell);
      }),
      { numRuns: 200 },
    );
    for (const [what, count] of Object.entries(seen)) t.ok(count > 10, `${count} ${what}`);
  },
);

function compareToFresh(table: EngineTable, routing: ReturnType<typeof tableOf>): void {
  const fresh = world().table;
  const all = (family: (typeof IP_FAMILIES)[number]) =>
    [...routing.servicePorts(family)].map(([key, after]) => ({ key, before: undefined, after }));
  const families: ChangeSet['families'] = { IPv4: all('IPv4'), IPv6: all('IPv6') };
  fresh.apply(families);
  const byName = (of: EngineTable) =>
    [...of.rows]
      .map(({ port: servicePort, options }) => ({
        name: `${servicePort.family} ${servicePort.key}`,
        options,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  same(byName(table), byName(fresh));
  const texts = (of: EngineTable) =>
    of.problems.map(({ subject, message }) => `${subject} ${message}`).sort();
  same(texts(table), texts(fresh));
  const used = new Set<number>();
  let count = 0;
  for (const { port: servicePort, cell, endpoints } of table.rows) {
    const { cluster, local, reachable, all: everybody } = servicePort.endpoints;
    const present = namesOf(everybody);
    for (const { target } of reachable) same([target, endpoints.has(target)], [target, true]);
    for (const target of endpoints.keys()) same([target, present.has(target)], [target, true]);
    for (const each of [cell, ...endpoints.values()]) used.add(each);
    count += 1 + endpoints.size;
    for (const [list, of] of [cluster, local].entries()) {
      const [picked = -1] = engine.picks(cell, list, 1, CLIENT, new Uint8Array(), 1);
      same(of.length > 0 ? picked >= 0 && picked < of.length : picked === NOBODY, true);
    }
  }
  same(used.size, count);
}

function removeFromEngine(cell: number): void {
  const record = Buffer.alloc(5);
  record.writeUInt8(2);
  record.writeUInt32LE(cell, 1);
  engine.update(record);
}

function same(actual: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${a}\nmust be\n${b}`);
}

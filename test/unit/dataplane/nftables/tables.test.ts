/** Tables of maglev: a change writes the entries that differ, and many changes of them leave others their turn. */
import t from 'tap';
import { nftablesSettings } from '../../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { Collected } from '../../../../src/dataplane/nftables/plan/Collected.js';
import { planChanges } from '../../../../src/dataplane/nftables/plan/planChanges.js';
import { planFull } from '../../../../src/dataplane/nftables/plan/planFull.js';
import { turnOf } from '../../../../src/dataplane/nftables/plan/portions.js';
import { takeAhead } from '../../../../src/dataplane/nftables/plan/takeAhead.js';
import { Transaction } from '../../../../src/kernel/nftables/Transaction.js';
import type { EndpointSlice } from '../../../../src/objects/EndpointSlice.js';
import type { Service } from '../../../../src/objects/Service.js';
import { endpoint, ip, port, service, slice, tableOf, upsert } from '../../../support/builders.js';
import { HOST_ADDRESSES, OPTIONS } from '../../../support/nftablesWorld.js';

const MAGLEV = { options: { algorithm: 'maglev' } };

const named = (name: string, n: number, fields: Partial<Service> = {}) =>
  service({ name, clusterIPs: { IPv4: ip(`10.96.1.${n}`) }, ...fields });

function pods(name: string, count: number, first = 1): EndpointSlice {
  const endpoints = Array.from({ length: count }, (_, i) => endpoint(`10.1.0.${first + i}`));
  return slice(endpoints, { name: `${name}-1`, serviceName: name });
}

const settingsOf = (table: ReturnType<typeof tableOf>) =>
  nftablesSettings(OPTIONS, 'IPv4', table, { addresses: HOST_ADDRESSES, localhostPorts: {} });

/** Set, key → value. */
function elementsOf(table: ReturnType<typeof tableOf>): Map<string, string | undefined> {
  const collected = new Collected();
  for (const each of table.servicePorts('IPv4').values()) collected.add(each);
  const found = new Map<string, string | undefined>();
  for (const [set, { keys, values }] of collected.sets)
    for (const [i, key] of keys.entries()) found.set(`${set} ${key}`, values[i]);
  return found;
}

function applied(elements: ReadonlyMap<string, string | undefined>, transaction: Transaction) {
  const found = new Map(elements);
  for (const [{ name }, keys] of transaction.deletedElements)
    for (const key of keys) found.delete(`${name} ${key}`);
  for (const [{ name }, { keys, values }] of transaction.newElements)
    for (const [i, key] of keys.entries()) found.set(`${name} ${key}`, values[i]);
  return found;
}

t.test('whatever becomes of a table, the elements are those that a full look would write', async (t) => {
  const nodePort = { type: 'NodePort', ports: [port({ nodePort: 30_080 })] } as const;
  const steps: readonly (readonly [what: string, service: Partial<Service>, pods: EndpointSlice])[] = [
    ['ten', MAGLEV, pods('web', 10)],
    ['one gone', MAGLEV, pods('web', 9)],
    ['another one', MAGLEV, pods('web', 9, 2)],
    ['a node port', { ...MAGLEV, ...nodePort, externalTrafficPolicy: 'Local' }, pods('web', 10)],
    ['another size', { ...MAGLEV, ...nodePort }, pods('web', 41)],
    ['back', MAGLEV, pods('web', 40)],
    ['by lot', {}, pods('web', 40)],
    ['none', MAGLEV, pods('web', 0)],
    ['one', MAGLEV, pods('web', 1)],
    ['another address', { ...MAGLEV, clusterIPs: { IPv4: ip('10.96.1.9') } }, pods('web', 1)],
  ];
  const table = tableOf([]);
  table.commit();
  const { contents } = await planFull([], settingsOf(table), undefined, 'penstock');
  for (const [what, fields, endpoints] of steps) {
    const before = elementsOf(table);
    table.apply([upsert(named('web', 1, fields)), upsert(endpoints)]);
    const changes = table.commit().families.IPv4;
    // All fits the sets of an empty table here, but those of 41 endpoints.
    const transaction = planChanges(contents, changes, settingsOf(table), 'penstock');
    const wanted = elementsOf(table);
    const ofEndpoints = [...wanted.keys()].filter((key) => key.startsWith('endpoints ')).length;
    t.equal(contents.filled.endpoints, ofEndpoints, `${what}: as many as there are`);
    if (transaction) t.strictSame(sorted(applied(before, transaction)), sorted(wanted), what);
  }
});

const sorted = (map: ReadonlyMap<string, string | undefined>) =>
  [...map].filter(([key]) => !key.startsWith('cluster-ips')).sort(([a], [b]) => (a < b ? -1 : 1));

t.test('one endpoint of ten that goes is an eighth of a table at most', async (t) => {
  const table = tableOf([named('web', 1, MAGLEV), pods('web', 10)]);
  table.commit();
  const all = [...table.servicePorts('IPv4').values()];
  const { contents } = await planFull(all, settingsOf(table), undefined, 'penstock');
  table.apply([upsert(pods('web', 9))]);
  const transaction = planChanges(contents, table.commit().families.IPv4, settingsOf(table), 'penstock');
  const written = [...(transaction?.newElements ?? [])].reduce((sum, [, { keys }]) => sum + keys.length, 0);
  t.ok(written > 300 && written < 4093 / 8, String(written));
});

t.test(
  'of many tables that change, some wait; small ones, new ones and those without endpoints do not',
  async (t) => {
    const names = Array.from({ length: 20 }, (_, n) => `big${n}`);
    const table = tableOf([
      ...names.flatMap((name, n) => [named(name, n + 1, MAGLEV), pods(name, 10)]),
      named('small', 30),
      named('empty', 31, MAGLEV),
    ]);
    table.commit();
    table.apply([
      ...names.map((name) => upsert(pods(name, 9))),
      upsert(pods('small', 3)),
      upsert(pods('empty', 10)),
      upsert(named('new', 32, MAGLEV)),
      upsert(pods('new', 10)),
    ]);
    const changes = table.commit().families.IPv4;
    const [now, later] = turnOf(changes);
    const owners = (list: readonly { readonly key: string }[]) =>
      list.map(({ key }) => key.slice('shop/'.length, -'/TCP'.length));
    t.ok(later.length > 10 && later.length < 19, `${later.length} wait`);
    t.strictSame(owners(later), names.slice(-later.length), 'the last ones, in their order');
    const mine = owners(now);
    t.ok(['small', 'empty', 'new', 'big0'].every((name) => mine.includes(name)));
    t.strictSame([...owners(now), ...owners(later)].sort(), owners(changes).sort(), 'nothing is lost');
    let turns = 1;
    for (let rest = later; rest.length > 0; turns++) [, rest] = turnOf(rest);
    t.ok(turns >= 4 && turns <= 8, `${turns} turns`);
  },
);

t.test('one that is bigger than a turn has a turn of its own', async (t) => {
  const [one, two] = ['a', 'b'].map((name, n) => named(name, n + 1, MAGLEV)) as [Service, Service];
  const table = tableOf([one, pods('a', 10), two, pods('b', 10)]);
  table.commit();
  table.apply([upsert(pods('a', 10, 100)), upsert(pods('b', 10, 100))]);
  const [now, later] = turnOf(table.commit().families.IPv4);
  t.strictSame([now.length, later.length], [1, 1]);
  t.strictSame(turnOf(later), [later, []]);
});

t.test('what nothing leads to yet is taken out of a large difference', async (t) => {
  const table = tableOf([
    named('old', 1, MAGLEV),
    pods('old', 2),
    named('new', 2, { ...MAGLEV, type: 'NodePort', ports: [port({ nodePort: 30_080 })] }),
    pods('new', 2),
  ]);
  table.commit();
  const all = [...table.servicePorts('IPv4').values()];
  const { transaction: first, contents } = await planFull(all, settingsOf(table), undefined, 'penstock');
  t.same(takeAhead(first, 100, contents.filled), [], 'nothing can come before the table');

  const { endpoints, 'service-ips': ips } = contents.sets;
  const whole = () => {
    const transaction = new Transaction('IPv4', 'penstock');
    for (const [set, { keys, values }] of first.newElements)
      for (const [i, key] of keys.entries()) transaction.addElement(set, key, values[i]);
    // There already, with another kind.
    const old = String.fromCharCode(10, 96, 1, 1);
    for (const key of first.newElements.get(ips)?.keys ?? [])
      if (key.startsWith(old)) transaction.deleteElement(ips, key);
    return transaction;
  };
  const rest = whole();
  const ahead = takeAhead(rest, 1000, contents.filled);
  const sizes = ahead.map(({ newElements }) =>
    [...newElements.values()].reduce((sum, { keys }) => sum + keys.length, 0),
  );
  t.strictSame(sizes, [...Array<number>(8).fill(1000), 2 * 4093 - 8000]);
  const names = new Set(ahead.flatMap(({ newElements }) => [...newElements.keys()].map(({ name }) => name)));
  t.strictSame([...names], ['endpoints', 'node-port-endpoints']);
  const together = ahead.reduce((sum, each) => applied(sum, each), new Map());
  t.strictSame(sorted(applied(together, rest)), sorted(applied(new Map(), whole())), 'all in all the same');
  t.equal(
    rest.newElements.get(endpoints)?.keys.length,
    4093,
    'what is reached already changes with the rest',
  );
  t.same(takeAhead(whole(), 100_000, contents.filled), [], 'a small one stays whole');
  // What an attempt before left of a Service that nothing leads to yet, with another value.
  const replacing = whole();
  const replaced = ahead[0]?.newElements.get(endpoints)?.keys[0] ?? '';
  replacing.deleteElement(endpoints, replaced);
  const early = takeAhead(replacing, 1000, contents.filled).flatMap(
    ({ newElements }) => newElements.get(endpoints)?.keys ?? [],
  );
  t.notOk(early.includes(replaced), 'what is replaced goes and comes in one transaction');
  t.ok(replacing.newElements.get(endpoints)?.keys.includes(replaced));
  const anew = whole();
  anew.newSets.push(ips);
  t.notOk(
    takeAhead(anew, 1000, contents.filled).some(({ newElements }) => newElements.has(endpoints)),
    'where the map that leads to them is made anew, nothing comes first',
  );
  const full = { endpoints: 1e9, 'node-port-endpoints': 1e9 };
  t.same(takeAhead(whole(), 1000, full), [], 'where there may be no room for both it stays whole');
});

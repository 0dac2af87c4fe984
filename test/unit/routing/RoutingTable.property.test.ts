/** The routing table depends on the objects there are now, not on the way there; its change sets tell all of it. */
import fc from 'fast-check';
import t from 'tap';
import { IP_FAMILIES, type IpFamily } from '../../../src/net/ip.js';
import { type ApiObject, type ObjectChange, objectName, refOf } from '../../../src/objects/ApiObject.js';
import type { ChangeSet } from '../../../src/routing/ChangeSet.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import type { Endpoint, ServicePort } from '../../../src/routing/ServicePort.js';
import { NODE, routingChanges } from '../../support/arbitraries.js';
import { tableOf, upsert } from '../../support/builders.js';

/** Changes, some followed by a commit; keys to shuffle the final objects with. */
const histories = fc.record({
  steps: fc.array(fc.record({ change: routingChanges, commit: fc.boolean() }), {
    minLength: 5,
    maxLength: 40,
    size: 'max',
  }),
  order: fc.array(fc.nat(1000), { minLength: 40, maxLength: 40 }),
});

t.test('any way to the same objects gives the same service ports and problems', async () => {
  fc.assert(
    fc.property(histories, ({ steps, order }) => {
      const table = tableOf([]);
      for (const { change, commit } of steps) {
        table.apply([change]);
        if (commit) table.commit();
      }
      table.commit();

      const final = shuffled(finalObjects(steps.map((step) => step.change)), order);
      const fresh = tableOf(final);
      fresh.commit();
      same(state(table), state(fresh));
    }),
    { numRuns: 400 },
  );
});

t.test('the change sets replayed give the table, and hold only real changes', async () => {
  fc.assert(
    fc.property(histories, ({ steps }) => {
      const table = tableOf([]);
      const replayed = { IPv4: new Map<string, ServicePort>(), IPv6: new Map<string, ServicePort>() };
      for (const { change, commit } of steps) {
        table.apply([change]);
        if (commit) replay(table.commit(), replayed);
      }
      replay(table.commit(), replayed);
      for (const family of IP_FAMILIES) same(sorted(replayed[family]), sorted(table.servicePorts(family)));
    }),
    { numRuns: 400 },
  );
});

t.test('the same objects again change nothing', async () => {
  fc.assert(
    fc.property(histories, ({ steps }) => {
      const table = tableOf([]);
      table.apply(steps.map((step) => step.change));
      table.commit();
      table.apply(finalObjects(steps.map((step) => step.change)).map(upsert));
      const { families } = table.commit();
      same([families.IPv4, families.IPv6], [[], []]);
    }),
    { numRuns: 200 },
  );
});

function replay(changes: ChangeSet, into: Record<IpFamily, Map<string, ServicePort>>): void {
  for (const family of IP_FAMILIES) {
    const keys = new Set<string>();
    for (const { key, before, after } of changes.families[family]) {
      if (keys.has(key)) throw new Error(`${key} is in one change set twice`);
      keys.add(key);
      if (into[family].get(key) !== before) throw new Error(`${key}: "before" is not what was told before`);
      if (before && after && JSON.stringify(before) === JSON.stringify(after)) {
        throw new Error(`${key} did not change`);
      }
      if (after) into[family].set(key, after);
      else into[family].delete(key);
    }
  }
}

/** What a source has in the end. A Node that goes keeps its last facts. */
function finalObjects(changes: readonly ObjectChange[]): ApiObject[] {
  const objects = new Map<string, ApiObject>();
  for (const change of changes) {
    if (change.type === 'upsert') objects.set(objectName(refOf(change.object)), change.object);
    else if (change.ref.kind !== 'Node') objects.delete(objectName(change.ref));
  }
  return [...objects.values()];
}

function shuffled<T>(list: readonly T[], order: readonly number[]): T[] {
  return list
    .map((item, i) => ({ item, at: order[i] ?? 0 }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function state(table: RoutingTable): unknown {
  const problems = table.problems().map((problem) => `${problem.subject}: ${problem.message}`);
  return {
    IPv4: sorted(table.servicePorts('IPv4')),
    IPv6: sorted(table.servicePorts('IPv6')),
    problems: problems.sort(),
    serviceCIDRs: IP_FAMILIES.map((family) => table.serviceCIDRs(family)),
  };
}

/** Hints are left out: once endpoints are selected nobody reads them, and equal selections keep the older object. */
function sorted(ports: ReadonlyMap<string, ServicePort>): unknown {
  const plain = (list: readonly Endpoint[]) => list.map(({ zoneHints, nodeHints, ...rest }) => rest);
  return [...ports]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { endpoints, balancing, ...rest }]) => ({
      ...rest,
      balancing: [balancing.algorithm, ...balancing.weights],
      all: plain(endpoints.all),
      cluster: plain(endpoints.cluster),
      local: plain(endpoints.local),
      reachable: plain(endpoints.reachable),
      any: endpoints.any,
    }));
}

function same(found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`found    ${a}\nexpected ${b}`);
}

t.test('the histories are worth it', async (t) => {
  let contested = 0;
  for (const { steps } of fc.sample(histories, { numRuns: 100, seed: 1 })) {
    const table = tableOf([], { nodeName: NODE });
    table.apply(steps.map((step) => step.change));
    table.commit();
    if (table.problems().length > 0) contested++;
  }
  t.ok(contested > 20, `addresses are contested in ${contested} of 100`);
});

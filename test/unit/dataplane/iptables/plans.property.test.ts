/** However the input is cut into sections: from any state to any other, by whatever plan, with the same rules in the end. */
import fc from 'fast-check';
import t from 'tap';
import { NO_RULES, readExistingRules } from '../../../../src/dataplane/iptables/plan/ExistingRules.js';
import { planFull } from '../../../../src/dataplane/iptables/plan/planFull.js';
import { planPartial } from '../../../../src/dataplane/iptables/plan/planPartial.js';
import type { RuleDelta, RuleSet } from '../../../../src/dataplane/iptables/plan/RuleSet.js';
import type { NatSectionLimit } from '../../../../src/dataplane/iptables/rules/sections.js';
import type { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import { services, slices } from '../../../support/arbitraries.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../../support/builders.js';
import { FakeXtables } from '../../../support/FakeXtables.js';
import { rulesOf, settingsOf } from '../../../support/renderTable.js';
import { sameRules } from '../../../support/sameRules.js';

const SETTINGS = settingsOf('IPv4', tableOf([]));

const worlds = fc.record({
  services: fc.uniqueArray(services, { maxLength: 3, size: 'max', selector: (s) => s.name }),
  slices: fc.uniqueArray(slices, { maxLength: 6, size: 'max', selector: (s) => s.name }),
});

type World = typeof worlds extends fc.Arbitrary<infer T> ? T : never;

const limits = fc.constantFrom(1, 3, 8, Number.POSITIVE_INFINITY);

t.test('the number of chains is known without making them', async () => {
  fc.assert(
    fc.property(worlds, (world) => {
      for (const [key, { own, ownCount }] of rulesOfWorld(world).entries()) {
        if (own.length !== ownCount) throw new Error(`${key}: ${own.length} chains, not ${ownCount}`);
      }
    }),
    { numRuns: 200 },
  );
});

t.test('a full plan on top of the rules of another', async () => {
  fc.assert(
    fc.property(worlds, worlds, limits, (from, to, limit) => {
      const [before, after] = [rulesOfWorld(from), rulesOfWorld(to)];
      const fake = new FakeXtables();
      fake.write(planFull(before, NO_RULES, SETTINGS, limit).toString());
      const existing = readExistingRules(fake.save('filter'), fake.save('nat'));
      fake.write(planFull(after, existing, SETTINGS, limit).toString());
      sameRules(fake.dump(), fresh(after));
    }),
    { numRuns: 200 },
  );
});

t.test('a partial plan from one to the other', async () => {
  fc.assert(
    fc.property(worlds, worlds, limits, (from, to, limit) => {
      const [before, after] = [rulesOfWorld(from), rulesOfWorld(to)];
      sameRules(afterPartial(before, after, limit), fresh(after));
    }),
    { numRuns: 200 },
  );
});

t.test('a partial plan between the same rules is empty', async (t) => {
  const rules = rulesOf(manyServices(3), SETTINGS);
  t.equal(planPartial(rules, deltas(rules, rules), SETTINGS, 1).toString(), '');
});

t.test('many changes at once: shared chains are rewritten', async () => {
  const [none, some, many] = [0, 30, 120].map((n) => rulesOf(manyServices(n), SETTINGS)) as [
    RuleSet,
    RuleSet,
    RuleSet,
  ];
  for (const limit of [7, Number.POSITIVE_INFINITY]) {
    for (const [before, after] of [
      [none, many],
      [some, many],
      [many, some],
      [many, none],
    ] as const) {
      sameRules(afterPartial(before, after, limit), fresh(after));
    }
  }
});

t.test('a section holds whole service ports, and about as many chains as the limit says', async (t) => {
  const rules = rulesOf(manyServices(20), SETTINGS);
  const text = planFull(rules, NO_RULES, SETTINGS, 6).toString();
  const sections = text.split('COMMIT\n').filter((section) => section.startsWith('*nat'));
  t.ok(sections.length > 5);
  for (const section of sections) {
    const declared = section.match(/^:KUBE-(SVC|EXT|SVL|FW|SEP)-\S+/gm) ?? [];
    t.ok(declared.length <= 8, `${declared.length} chains`);
  }
});

function rulesOfWorld({ services, slices }: World): RuleSet {
  const table = tableOf([...services, ...slices]);
  table.commit();
  return rulesOf(table, SETTINGS);
}

function fresh(rules: RuleSet): Record<string, readonly string[]> {
  const fake = new FakeXtables();
  fake.write(planFull(rules, NO_RULES, SETTINGS, Number.POSITIVE_INFINITY).toString());
  return fake.dump();
}

function afterPartial(before: RuleSet, after: RuleSet, limit: NatSectionLimit) {
  const fake = new FakeXtables();
  fake.write(planFull(before, NO_RULES, SETTINGS, limit).toString());
  const plan = planPartial(before, deltas(before, after), SETTINGS, limit).toString();
  if (plan !== '') fake.write(plan);
  return fake.dump();
}

function deltas(before: RuleSet, after: RuleSet): RuleDelta[] {
  const keys = new Set([...before.entries(), ...after.entries()].map(([key]) => key));
  return [...keys].map((key) => ({ key, before: before.get(key), after: after.get(key) }));
}

/** Half of them with an endpoint. */
function manyServices(count: number): RoutingTable {
  const names = Array.from({ length: count }, (_, i) => i);
  const table = tableOf([
    ...names.map((i) =>
      service({
        name: `s${i}`,
        type: 'NodePort',
        clusterIPs: { IPv4: ip(`10.96.0.${i}`) },
        ports: [port({ nodePort: 30_000 + i })],
      }),
    ),
    ...names
      .filter((i) => i % 2 === 0)
      .map((i) => slice([endpoint(`10.244.0.${i}`)], { name: `s${i}-1`, serviceName: `s${i}` })),
  ]);
  table.commit();
  return table;
}

/** What an agent says of its rules is what a full sync would write: equal to that table, and to no other. */
import fc from 'fast-check';
import t from 'tap';
import {
  type NftablesOptions,
  nftablesSettings,
} from '../../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { isAsWanted } from '../../../../src/dataplane/nftables/isAsWanted.js';
import { planFull } from '../../../../src/dataplane/nftables/plan/planFull.js';
import { type DigestOfTable, WantedDigest } from '../../../../src/dataplane/nftables/plan/WantedDigest.js';
import type { PresentDigest } from '../../../../src/dataplane/nftables/TableDigest.js';
import { ElementDigest } from '../../../../src/kernel/nftables/listing/ElementDigest.js';
import type { Transaction } from '../../../../src/kernel/nftables/Transaction.js';
import { asPresent } from '../../../../src/kernel/nftables/table/tableDifference.js';
import { type Cidr, IP_FAMILIES } from '../../../../src/net/ip.js';
import { configs, NODE, nodes, services, slices } from '../../../support/arbitraries.js';
import { tableOf } from '../../../support/builders.js';
import { everything, OPTIONS } from '../../../support/nftablesWorld.js';
import { HOST_FACTS } from '../../../support/renderTable.js';

const worlds = fc.record({
  services: fc.uniqueArray(services, { maxLength: 4, size: 'max', selector: (s) => s.name }),
  slices: fc.uniqueArray(slices, { maxLength: 6, size: 'max', selector: (s) => s.name }),
  node: nodes.filter((n) => n.name === NODE),
});

function presentOf(written: Transaction): PresentDigest {
  const sets = new Map(
    written.newSets.map((set) => {
      const { keys, values } = written.newElements.get(set) ?? { keys: [], values: [] };
      const digest = new ElementDigest();
      for (const [i, key] of keys.entries()) digest.add(key, values[i] ?? '');
      return [set.name, digest];
    }),
  );
  return { state: asPresent(written).state, sizes: {}, sets };
}

/** As it travels. */
function digestOf(ports: Iterable<Parameters<WantedDigest['add']>[0]>): DigestOfTable {
  const digest = new WantedDigest();
  for (const port of ports) digest.add(port);
  return JSON.parse(JSON.stringify(digest)) as DigestOfTable;
}

t.test('equal to its own table, and not to that of other objects', async (t) => {
  let [others, alike] = [0, 0];
  await fc.assert(
    fc.asyncProperty(worlds, worlds, configs, async (objects, other, config) => {
      const options: NftablesOptions = {
        ...OPTIONS,
        ...config,
        nodePortAddresses: config.nodePortAddresses as Cidr[],
      };
      const [table, otherTable] = [objects, { ...other, node: objects.node }].map((each) => {
        const made = tableOf([...each.services, ...each.slices, each.node]);
        made.commit();
        return made;
      });
      if (!table || !otherTable) throw new Error('no tables');
      for (const family of IP_FAMILIES) {
        const settings = nftablesSettings(options, family, table, {
          addresses: HOST_FACTS.addresses,
          localhostPorts: {},
        });
        const plan = async (of: typeof table) =>
          (await planFull(of.servicePorts(family).values(), settings, undefined, 'penstock')).transaction;
        const [own, another] = [await plan(table), await plan(otherTable)];
        const present = presentOf(own);
        if (!isAsWanted(digestOf(table.servicePorts(family).values()), settings, present))
          throw new Error('not equal to its own');
        const isSame = isAlike(own, another);
        if (isAsWanted(digestOf(otherTable.servicePorts(family).values()), settings, present) !== isSame)
          throw new Error(`others are ${isSame ? '' : 'not '}the same`);
        if (isSame) alike++;
        else others++;
      }
    }),
    { numRuns: 60 },
  );
  t.ok(others > 60, `${others} others, ${alike} alike`);
});

/** Whether two whole tables are the same, in whatever order. */
function isAlike(a: Transaction, b: Transaction): boolean {
  const text = ({ newSets, newElements, newChains }: Transaction) =>
    JSON.stringify([
      newSets
        .map((set) => {
          const { keys, values } = newElements.get(set) ?? { keys: [], values: [] };
          return [set.name, keys.map((key, i) => `${key}=${values[i] ?? ''}`).sort()];
        })
        .sort(),
      newChains.map(({ name, rules }) => [name, rules.map((rule) => rule.map(({ text }) => text))]).sort(),
    ]);
  return text(a) === text(b);
}

t.test('each element, rule and set counts', async (t) => {
  const table = tableOf(everything());
  table.commit();
  for (const family of IP_FAMILIES) {
    const settings = nftablesSettings(OPTIONS, family, table, {
      addresses: HOST_FACTS.addresses,
      localhostPorts: {},
    });
    const { transaction } = await planFull(
      table.servicePorts(family).values(),
      settings,
      undefined,
      'penstock',
    );
    const said = digestOf(table.servicePorts(family).values());
    const present = presentOf(transaction);
    t.ok(isAsWanted(said, settings, present));
    t.ok(transaction.newElements.size > 8, 'most sets have elements');
    for (const [set, { keys, values }] of transaction.newElements) {
      const digest = new ElementDigest();
      for (const [i, key] of keys.slice(1).entries()) digest.add(key, values[i + 1] ?? '');
      const sets = new Map(present.sets).set(set.name, digest);
      t.notOk(isAsWanted(said, settings, { ...present, sets }), `an element of ${set.name} is missing`);
    }
    for (const name of present.state.chains.keys()) {
      if (name.startsWith('admin-')) continue;
      const chains = new Map(present.state.chains);
      chains.delete(name);
      t.notOk(
        isAsWanted(said, settings, { ...present, state: { ...present.state, chains } }),
        `no chain ${name}`,
      );
    }
    for (const name of present.state.sets.keys()) {
      const sets = new Map(present.state.sets);
      sets.delete(name);
      t.notOk(
        isAsWanted(said, settings, { ...present, state: { ...present.state, sets } }),
        `no set ${name}`,
      );
    }
    const dormant = { ...present, state: { ...present.state, flags: 1 } };
    t.notOk(isAsWanted(said, settings, dormant), 'the table is dormant');
  }
});

/**
 * What a Service that comes, goes or scales costs does not depend on how many there are: its transaction has no chain, no rule
 * and no element of a verdict map, which make the kernel look at the whole table, and so many elements at any size.
 */
import t from 'tap';
import { ALGORITHMS } from '../../../../src/balancing/Balancing.js';
import { nftablesSettings } from '../../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { planChanges } from '../../../../src/dataplane/nftables/plan/planChanges.js';
import { planFull } from '../../../../src/dataplane/nftables/plan/planFull.js';
import type { Transaction } from '../../../../src/kernel/nftables/Transaction.js';
import { writeTransaction } from '../../../../src/kernel/nftables/writeTransaction.js';
import type { ObjectChange } from '../../../../src/objects/ApiObject.js';
import type { Service } from '../../../../src/objects/Service.js';
import { endpoint, ip, port, remove, service, slice, tableOf, upsert } from '../../../support/builders.js';
import { HOST_ADDRESSES, OPTIONS } from '../../../support/nftablesWorld.js';

const FACTS = { addresses: HOST_ADDRESSES, localhostPorts: {} };

const numbered = (n: number, fields: Partial<Service>) =>
  service({ name: `s${n}`, clusterIPs: { IPv4: ip(`10.96.${n >> 8}.${n & 255}`) }, ...fields });

const endpoints = (n: number, count: number) =>
  slice(
    Array.from({ length: count }, (_, i) => endpoint(`10.1.${n >> 8}.${(n + i) & 255}`)),
    { name: `s${n}-1`, serviceName: `s${n}` },
  );

/** A table of so many Services alike, and what a change of it comes to. */
async function world(services: number, fields: Partial<Service>) {
  const objects = Array.from({ length: services }, (_, n) => [numbered(n, fields), endpoints(n, 10)]).flat();
  const table = tableOf(objects);
  table.commit();
  const settings = nftablesSettings(OPTIONS, 'IPv4', table, FACTS);
  const { contents } = await planFull(table.servicePorts('IPv4').values(), settings, undefined, 'penstock');
  return (changes: readonly ObjectChange[]): Transaction => {
    table.apply(changes);
    const found = planChanges(contents, table.commit().families.IPv4, settings, 'penstock');
    if (!found) throw new Error('the sets have no room');
    return found;
  };
}

function costs(transaction: Transaction) {
  const { newChains, newRules, flushedChains, deletedChains, newSets } = transaction;
  const verdicts = [...transaction.newElements].filter(([set]) => set.data === 'verdict');
  return {
    chains: newChains.length + flushedChains.length + deletedChains.length,
    rules: newRules.length,
    sets: newSets.length,
    verdicts: verdicts.reduce((sum, [, { keys }]) => sum + keys.length, 0),
    messages: writeTransaction(transaction).writer.messageCount,
  };
}

const ONLY_ELEMENTS = { chains: 0, rules: 0, sets: 0, verdicts: 0 };

const KINDS: Readonly<Record<string, Partial<Service>>> = {
  ...Object.fromEntries(ALGORITHMS.map((algorithm) => [algorithm, { options: { algorithm } }])),
  weights: { options: { weights: '{"10.1.0.1": 3}' } },
  affinity: { affinitySeconds: 600 },
  'policy Local': {
    type: 'NodePort',
    externalTrafficPolicy: 'Local',
    ports: [port({ nodePort: 0 })],
    externalIPs: [ip('192.0.2.80')],
  },
};

for (const [name, fields] of Object.entries(KINDS)) {
  t.test(`${name}: Services that scale are elements alone, at any size`, async (t) => {
    const found = [];
    // A table of maglev has 4,093 entries.
    const isMaglev = name === 'maglev';
    for (const services of isMaglev ? [12, 24] : [12, 120]) {
      const change = await world(services, fields);
      for (const count of [11, 12, 16, 9]) {
        const { messages, ...rest } = costs(
          change(Array.from({ length: 10 }, (_, n) => upsert(endpoints(n, count)))),
        );
        t.same(rest, ONLY_ELEMENTS, `${services} Services, ${count} endpoints`);
        found.push(messages);
      }
    }
    t.same(found.slice(4), found.slice(0, 4), 'as many messages at each size');
    // A message holds some hundred elements, of which maglev changes many.
    if (!isMaglev) t.ok(Math.max(...found) <= 8, `${found} messages`);
  });
}

t.test('a Service that comes and goes is elements alone', async (t) => {
  for (const services of [12, 120]) {
    const change = await world(services, {});
    const added = numbered(500, {});
    const { messages, ...rest } = costs(change([upsert(added), upsert(endpoints(500, 10))]));
    t.same(rest, ONLY_ELEMENTS);
    t.ok(messages <= 6, `${messages} messages`);
    t.same(costs(change([remove(added), remove(endpoints(500, 10))])), {
      ...ONLY_ELEMENTS,
      messages,
    });
  }
});

t.test(
  'a new Service of round robin brings its own chains, and no rule that looks into the map of all',
  async (t) => {
    const fields = { options: { algorithm: 'round-robin' } };
    const change = await world(12, fields);
    const transaction = change([upsert(numbered(500, fields)), upsert(endpoints(500, 10))]);
    const { newRules, newChains, flushedChains } = transaction;
    t.strictSame([newChains.length, flushedChains.length], [3, 0]);
    const looked = newRules.flatMap(({ rules }) =>
      rules.flatMap((rule) => rule.flatMap(({ expressions }) => expressions.map(({ values }) => values.set))),
    );
    t.strictSame(new Set(looked.filter((set) => set !== undefined)), new Set(['turns']));
  },
);

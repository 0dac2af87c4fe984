/**
 * Whatever changes, one after the other, through small transactions: the kernel ends up with what one full sync would have
 * written. The judge of each transaction is the kernel itself: a value that is there already, an element that is not, a
 * chain that is in use, all are refused.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  type NftablesOptions,
  nftablesSettings,
} from '../../../src/dataplane/nftables/desired/NftablesSettings.js';
import { TABLE } from '../../../src/dataplane/nftables/desired/sets.js';
import { FamilySync } from '../../../src/dataplane/nftables/FamilySync.js';
import { planFull } from '../../../src/dataplane/nftables/plan/planFull.js';
import { readPresent } from '../../../src/dataplane/nftables/plan/readPresent.js';
import { printTransaction } from '../../../src/kernel/nftables/printTransaction.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { type Cidr, IP_FAMILIES, type IpAddress } from '../../../src/net/ip.js';
import { ADDRESSES, changes, configs } from '../../support/arbitraries.js';
import { tableOf } from '../../support/builders.js';
import { inNetns } from '../../support/inNetns.js';
import { OPTIONS, openChannel } from '../../support/nftablesWorld.js';

const HOST = IP_FAMILIES.flatMap((family) => [...ADDRESSES[family].host]);

/** A history: batches of changes, and between some of them other addresses of the host, or doubt. */
const steps = fc.array(
  fc.record({
    batch: fc.array(changes, { minLength: 1, maxLength: 5 }),
    host: fc.constantFrom<readonly IpAddress[]>(HOST, HOST, HOST, HOST.slice(1)),
    doubt: fc.nat(9).map((n) => n === 0),
  }),
  { minLength: 1, maxLength: 12, size: 'max' },
);

if (await inNetns(import.meta.url)) {
  const channel = openChannel();
  t.teardown(() => channel.close());

  t.test('small transactions come to the same as one full sync', async (t) => {
    const kinds = new Map<string, number>();
    let leftChains = 0;
    await fc.assert(
      fc.asyncProperty(configs, steps, async (config, history) => {
        const options: NftablesOptions = {
          ...OPTIONS,
          ...config,
          nodePortAddresses: config.nodePortAddresses as Cidr[],
        };
        const table = tableOf([]);
        for (const family of IP_FAMILIES) {
          await new NftablesTable(channel, family, TABLE).delete();
        }
        const syncs = IP_FAMILIES.map(
          (family) => new FamilySync(new NftablesTable(channel, family, TABLE), () => 0),
        );
        for (const { batch, host, doubt } of history) {
          table.apply(batch);
          const change = table.commit();
          for (const sync of syncs) {
            const { family } = sync;
            sync.take(change.families[family]);
            if (doubt) sync.requireFull();
            const settings = nftablesSettings(options, family, table, {
              addresses: host,
              localhostPorts: { tcp: 4 },
            });
            let waits = true;
            while (waits) {
              const { kind, waiting } = await sync.sync(table.servicePorts(family), settings);
              kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
              waits = waiting !== undefined;
            }
            if (sync.problems.length > 0) throw new Error(JSON.stringify(sync.problems));
            // Chains that nobody uses any more may be left; all else must be as a full sync would have it.
            const kernel = new NftablesTable(channel, family, TABLE);
            const present = await readPresent(kernel);
            const { transaction } = await planFull(
              table.servicePorts(family).values(),
              settings,
              present,
              TABLE,
            );
            leftChains += transaction.deletedChains.length;
            for (const name of transaction.deletedChains) {
              transaction.flushedChains.splice(transaction.flushedChains.indexOf(name), 1);
            }
            transaction.deletedChains.splice(0);
            // So may the sets of a time of session affinity that nobody has any more.
            const unused = transaction.deletedSets.filter((name) => name.startsWith('affinity-'));
            transaction.deletedSets.splice(
              0,
              transaction.deletedSets.length,
              ...transaction.deletedSets.filter((name) => !unused.includes(name)),
            );
            if (!transaction.isEmpty) throw new Error(`${family} differs:\n${printTransaction(transaction)}`);
          }
        }
      }),
      { numRuns: 150 },
    );
    t.ok((kinds.get('partial') ?? 0) > 100, `syncs: ${JSON.stringify([...kinds])}`);
    t.ok(leftChains > 0, 'chains were left');
  });
}

/** Puts back what somebody else changed, where it is known what that was: chains, or the elements of some sets. */

import { Transaction } from '../../../kernel/nftables/Transaction.js';
import type { NftablesTable } from '../../../kernel/nftables/table/NftablesTable.js';
import { changeElements } from '../../../kernel/nftables/table/tableDifference.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import { Collected } from './Collected.js';
import { elementsOf, planChains } from './planFull.js';
import type { TableContents } from './TableContents.js';

/** The sets whose elements were changed; chains are always looked at, there are few. */
export type Damage = ReadonlySet<string>;

/** `contents` and `ports` must agree. Undefined when the table is gone. Rejects with NetlinkError. */
export async function planRepair(
  table: NftablesTable,
  contents: TableContents,
  ports: Iterable<ServicePort>,
  damage: Damage,
): Promise<Transaction | undefined> {
  const state = await table.readState();
  if (!state) return undefined;
  const transaction = new Transaction(table.family, table.name);
  planChains(transaction, contents, state, false);
  if (damage.size === 0) return transaction;
  const collected = new Collected();
  for (const port of ports) collected.add(port);
  for (const set of [...Object.values(contents.sets), ...contents.affinitySets.values()]) {
    if (!damage.has(set.name)) continue;
    const wanted = elementsOf(set.name, collected, contents);
    changeElements(transaction, set, wanted, await table.listElements(set));
  }
  return transaction;
}

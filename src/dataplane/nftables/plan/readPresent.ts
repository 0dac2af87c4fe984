/** What the kernel has of our table at start and after trouble. */

import type { SetSpec } from '../../../kernel/nftables/SetSpec.js';
import type { NftablesTable } from '../../../kernel/nftables/table/NftablesTable.js';
import { setSizeIn } from '../../../kernel/nftables/table/TableState.js';
import type { SizedSet } from '../desired/sets.js';
import type { Present } from './planFull.js';
import { SIZED_SETS } from './TableContents.js';

/** Undefined when there is no table of ours. Rejects with NetlinkError. */
export async function readPresent(table: NftablesTable): Promise<Present | undefined> {
  const state = await table.readState();
  if (!state) return undefined;
  const sizes: Partial<Record<SizedSet, number>> = {};
  for (const set of SIZED_SETS) sizes[set] = setSizeIn(state.sets.get(set) ?? '');
  return { state, sizes, list: (set: SetSpec) => table.listElements(set) };
}

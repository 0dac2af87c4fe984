/** Removes tables of ours by family and name, and nothing else. */
import { NetlinkProtocol } from '../../netlink/constants.js';
import { NetlinkChannel } from '../../netlink/NetlinkChannel.js';
import { NetlinkError } from '../../netlink/NetlinkError.js';
import type { TableFamily } from '../constants.js';
import { FAMILY_NAME } from '../printTransaction.js';
import { NftablesTable } from './NftablesTable.js';

export interface OwnTable {
  readonly family: TableFamily;
  readonly name: string;
}

/** `plan` changes nothing. Resolves to those that there were: `ip penstock`. Rejects with NetlinkError. */
export function removeTables(what: 'plan' | 'remove', tables: readonly OwnTable[]): Promise<string[]> {
  return NetlinkChannel.using(NetlinkProtocol.NETFILTER, async (channel) => {
    const found: string[] = [];
    for (const { family, name } of tables) {
      const table = new NftablesTable(channel, family, name);
      if (!(await existsHere(table))) continue;
      if (what === 'remove') await table.delete();
      found.push(`${FAMILY_NAME[family]} ${name}`);
    }
    return found;
  });
}

/** As exists(), on every kernel. */
export async function existsHere(table: NftablesTable<TableFamily>): Promise<boolean> {
  try {
    return await table.exists();
  } catch (error) {
    // A kernel without nf_tables, or without this family, has no table of ours.
    if (error instanceof NetlinkError && ['EINVAL', 'EOPNOTSUPP', 'EAFNOSUPPORT'].includes(error.code))
      return false;
    throw error;
  }
}

/** Removes the tables of both tiers, and nothing else. */
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { NetlinkError } from '../../kernel/netlink/NetlinkError.js';
import { NftablesTable } from '../../kernel/nftables/NftablesTable.js';
import { FAMILY_NAME } from '../../kernel/nftables/printTransaction.js';
import { TIER_TABLE } from './tierRules.js';

/** `plan` changes nothing. Resolves to the tables there were: `netdev penstock-balancer`. Rejects with NetlinkError. */
export async function removeTiers(what: 'plan' | 'remove'): Promise<string[]> {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  try {
    const found: string[] = [];
    for (const family of ['netdev', 'IPv4', 'IPv6'] as const) {
      const table = new NftablesTable(channel, family, TIER_TABLE);
      if (!(await existsIn(table))) continue;
      if (what === 'remove') await table.delete();
      found.push(`${FAMILY_NAME[family]} ${TIER_TABLE}`);
    }
    return found;
  } finally {
    channel.close();
  }
}

async function existsIn(table: NftablesTable<'netdev' | 'IPv4' | 'IPv6'>): Promise<boolean> {
  try {
    return await table.exists();
  } catch (error) {
    // A kernel without nf_tables, or without this family, has no table of ours.
    if (error instanceof NetlinkError && ['EINVAL', 'EOPNOTSUPP', 'EAFNOSUPPORT'].includes(error.code))
      return false;
    throw error;
  }
}

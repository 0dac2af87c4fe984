/** Removes our nftables tables, and nothing else. */
import { TABLE } from '../dataplane/nftables/NftablesDataplane.js';
import { CAPTURE_TABLE } from '../dataplane/userspace/UserspaceDataplane.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { NetlinkError } from '../kernel/netlink/NetlinkError.js';
import { NftablesTable } from '../kernel/nftables/NftablesTable.js';
import { FAMILY_NAME } from '../kernel/nftables/printTransaction.js';
import { IP_FAMILIES } from '../net/ip.js';

/** The modes that have a table, and its name. */
const TABLES = { nftables: TABLE, userspace: CAPTURE_TABLE } as const;

/**
 * `plan` changes nothing; the table of the mode that is kept stays. Resolves to the tables there were: `ip penstock`.
 * Rejects with NetlinkError.
 */
export async function removeNftables(what: 'plan' | 'remove', kept = ''): Promise<string[]> {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  try {
    const found: string[] = [];
    for (const [mode, name] of Object.entries(TABLES)) {
      if (mode === kept) continue;
      for (const family of IP_FAMILIES) {
        const table = new NftablesTable(channel, family, name);
        if (!(await existsIn(table))) continue;
        if (what === 'remove') await table.delete();
        found.push(`${FAMILY_NAME[family]} ${name}`);
      }
    }
    return found;
  } finally {
    channel.close();
  }
}

async function existsIn(table: NftablesTable): Promise<boolean> {
  try {
    return await table.exists();
  } catch (error) {
    // A kernel without nf_tables, or without this family, has no table of ours.
    if (error instanceof NetlinkError && ['EINVAL', 'EOPNOTSUPP', 'EAFNOSUPPORT'].includes(error.code))
      return false;
    throw error;
  }
}

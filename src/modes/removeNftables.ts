/** Removes our nftables tables, and nothing else. */
import { FAILURE_TABLE } from '../dataplane/failures/failureSets.js';
import { TABLE } from '../dataplane/nftables/NftablesDataplane.js';
import { CAPTURE_TABLE } from '../dataplane/userspace/UserspaceDataplane.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { NetlinkError } from '../kernel/netlink/NetlinkError.js';
import { NftablesTable } from '../kernel/nftables/NftablesTable.js';
import { FAMILY_NAME } from '../kernel/nftables/printTransaction.js';
import { IP_FAMILIES } from '../net/ip.js';

/** Tables of ours, and the modes that have them. */
const TABLES: readonly (readonly [name: string, modes: readonly string[]])[] = [
  [TABLE, ['nftables']],
  [CAPTURE_TABLE, ['userspace']],
  [FAILURE_TABLE, ['iptables', 'ipvs']],
];

/**
 * `plan` changes nothing; the table of the mode that is kept stays. Resolves to the tables there were: `ip penstock`.
 * Rejects with NetlinkError.
 */
export async function removeNftables(what: 'plan' | 'remove', kept = ''): Promise<string[]> {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  try {
    const found: string[] = [];
    for (const [name, modes] of TABLES) {
      if (modes.includes(kept)) continue;
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

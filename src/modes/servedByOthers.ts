/** Whether another proxy may serve this host already: kube-proxy, or penstock in another mode. */
import { CAPTURE_TABLE } from '../dataplane/userspace/CaptureView.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { NftablesTable } from '../kernel/nftables/table/NftablesTable.js';
import { SERVICE_LINK } from '../kernel/routes/constants.js';
import { Links } from '../kernel/routes/Links.js';
import { legacyTablesThere } from '../kernel/xtables/legacyTables.js';
import { nftChainIsThere } from '../kernel/xtables/nftChains.js';
import { IP_FAMILIES } from '../net/ip.js';

/** Of modes nftables and userspace. */
const TABLES = ['kube-proxy', CAPTURE_TABLE];

/**
 * Looks for what each of them has in the kernel. Rules of iptables-legacy count whoever wrote them: to list them takes a process. Rejects
 * with NetlinkError or what the file system says when the kernel does not tell.
 */
export async function servedByOthers(): Promise<boolean> {
  const link = await NetlinkChannel.using(NetlinkProtocol.ROUTE, (route) =>
    new Links(route).find(SERVICE_LINK),
  );
  if (link) return true;
  for (const family of IP_FAMILIES) {
    if (await nftChainIsThere(family, 'nat', 'KUBE-SERVICES')) return true;
    if ((await legacyTablesThere(family)).includes('nat')) return true;
  }
  return NetlinkChannel.using(NetlinkProtocol.NETFILTER, async (channel) => {
    for (const family of IP_FAMILIES)
      for (const name of TABLES) if (await new NftablesTable(channel, family, name).exists()) return true;
    return false;
  });
}

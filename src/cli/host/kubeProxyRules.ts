/** Rules in this kernel that a kube-proxy wrote, and no penstock of this node: one may serve here that is not seen otherwise. */
import { SERVICE_LINK, ServiceLink } from '../../dataplane/ipvs/kernel/ServiceLink.js';
import { Ipset } from '../../kernel/ipset/Ipset.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { removeTables } from '../../kernel/nftables/table/removeTables.js';
import { legacyTables } from '../../kernel/xtables/legacyTables.js';
import { nftChainExists } from '../../kernel/xtables/nftChains.js';
import { XtablesTool } from '../../kernel/xtables/XtablesTool.js';
import { IP_FAMILIES } from '../../net/ip.js';
import { readNote } from '../see/look.js';

/** kube-proxy in mode iptables has it in each table, to see that somebody flushed them. */
const CANARY = 'KUBE-PROXY-CANARY';

/**
 * A sentence for each kind, of what penstock's modes never write. Mode iptables writes kube-proxy's chains and mode ipvs its sets: after
 * an agent in such a mode they tell nothing. What may not be looked at counts as not there.
 */
export async function kubeProxyRules(): Promise<readonly string[]> {
  const mode = lastMode();
  const found = await attempt(() =>
    removeTables(
      'plan',
      IP_FAMILIES.map((family) => ({ family, name: 'kube-proxy' })),
    ),
  );
  const said = (found ?? []).map((table) => `the nftables table ${table}`);
  if (mode !== 'iptables' && (await attempt(hasCanary))) said.push(`the iptables chain ${CANARY}`);
  if (mode !== 'ipvs' && (await attempt(hasLinkOfOthers))) said.push(`the link ${SERVICE_LINK}`);
  return said;
}

/** Of the last agent, where that is known. */
function lastMode(): string | undefined {
  try {
    return readNote()?.mode;
  } catch {
    return undefined;
  }
}

async function hasCanary(): Promise<boolean> {
  for (const family of IP_FAMILIES) {
    if (await nftChainExists(family, 'mangle', CANARY)) return true;
    if (!(await legacyTables(family)).includes('mangle')) continue;
    const tool = await XtablesTool.open(family, family === 'IPv4' ? 'iptables-legacy' : 'ip6tables-legacy');
    if ((await tool.listChain('mangle', CANARY)) !== undefined) return true;
  }
  return false;
}

/** The link of mode ipvs, without the sets that penstock has beside kube-proxy's. */
async function hasLinkOfOthers(): Promise<boolean> {
  const isThere = await using(NetlinkProtocol.ROUTE, (route) =>
    new ServiceLink(route, () => {}).delete('plan'),
  );
  return isThere && !(await attempt(() => using(NetlinkProtocol.NETFILTER, hasOwnSets)));
}

async function hasOwnSets(channel: NetlinkChannel): Promise<boolean> {
  const ipset = await Ipset.open(channel);
  return (await ipset.headers()).some(({ name }) => name.includes('PENSTOCK-'));
}

async function using<T>(protocol: number, ask: (channel: NetlinkChannel) => Promise<T>): Promise<T> {
  const channel = NetlinkChannel.open(protocol);
  try {
    return await ask(channel);
  } finally {
    channel.close();
  }
}

async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch {
    return undefined;
  }
}

/** Rules in this kernel that a kube-proxy wrote, and no penstock of this node: one may serve here that is not seen otherwise. */
import { ServiceLink } from '../../dataplane/ipvs/kernel/ServiceLink.js';
import { messageOf, PenstockError } from '../../errors.js';
import { Ipset } from '../../kernel/ipset/Ipset.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { removeTables } from '../../kernel/nftables/table/removeTables.js';
import { SERVICE_LINK } from '../../kernel/routes/constants.js';
import { legacyTablesThere } from '../../kernel/xtables/legacyTables.js';
import { type ChainExists, nftChainIsThere } from '../../kernel/xtables/nftChains.js';
import { type ProgramRunner, runCommand } from '../../kernel/xtables/runCommand.js';
import { XtablesTool } from '../../kernel/xtables/XtablesTool.js';
import { IP_FAMILIES, type IpFamily } from '../../net/ip.js';
import { readNote } from '../see/look.js';

/** kube-proxy in mode iptables has it in each table, to see that somebody flushed them. */
const CANARY = 'KUBE-PROXY-CANARY';

export interface KubeProxyRules {
  /** `the nftables table ip kube-proxy`, for each kind. */
  readonly found: readonly string[];
  /** A sentence for each kind that may be there and cannot be looked at. */
  readonly unseen: readonly string[];
}

/** How the rules are looked at. */
export interface RulesHost {
  readonly chain: ChainExists;
  readonly legacyTables: typeof legacyTablesThere;
  readonly run: ProgramRunner;
}

const HOST: RulesHost = { chain: nftChainIsThere, legacyTables: legacyTablesThere, run: runCommand };

/**
 * Of what penstock's modes never write. Mode iptables writes kube-proxy's chains and mode ipvs its sets: after an agent in such a mode
 * they tell nothing. Never rejects.
 */
export async function kubeProxyRules(host = HOST): Promise<KubeProxyRules> {
  const mode = lastMode();
  const [found, unseen] = [new Set<string>(), new Set<string>()];
  const look = async (what: string, ask: () => Promise<boolean>) => {
    try {
      if (await ask()) found.add(what);
    } catch (error) {
      if (!saysThereIsNone(error)) unseen.add(`${what} cannot be looked for: ${messageOf(error)}`);
    }
  };
  for (const family of IP_FAMILIES) {
    const table = { family, name: 'kube-proxy' };
    const named = `the nftables table ${family === 'IPv4' ? 'ip' : 'ip6'} kube-proxy`;
    await look(named, async () => (await removeTables('plan', [table])).length > 0);
  }
  if (mode !== 'iptables')
    for (const family of IP_FAMILIES) {
      await look(`the iptables chain ${CANARY}`, () => host.chain(family, 'mangle', CANARY));
      await look(`the iptables-legacy chain ${CANARY}`, () => hasLegacyCanary(family, host));
    }
  if (mode !== 'ipvs') await look(`the link ${SERVICE_LINK}`, hasLinkOfOthers);
  return { found: [...found], unseen: [...unseen] };
}

/** The kernel has no such thing; the tool is not installed, and cleanup could not remove anything either; or the link is no proxy's. */
function saysThereIsNone(error: unknown): boolean {
  if (!(error instanceof PenstockError)) return (error as NodeJS.ErrnoException).code === 'EPROTONOSUPPORT';
  if (error.code === 'PENSTOCK_LINK_FOREIGN') return true;
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  return error.code === 'PENSTOCK_XTABLES_MISSING' && code === 'ENOENT';
}

/** Of the last agent, where that is known. */
function lastMode(): string | undefined {
  try {
    return readNote()?.mode;
  } catch {
    return undefined;
  }
}

async function hasLegacyCanary(family: IpFamily, { legacyTables, run }: RulesHost): Promise<boolean> {
  if (!(await legacyTables(family)).includes('mangle')) return false;
  const program = family === 'IPv4' ? 'iptables-legacy' : 'ip6tables-legacy';
  const tool = await XtablesTool.open(family, program, run);
  return (await tool.listChain('mangle', CANARY)) !== undefined;
}

/** The link of mode ipvs, without the sets that penstock has beside kube-proxy's. */
async function hasLinkOfOthers(): Promise<boolean> {
  const isThere = await NetlinkChannel.using(NetlinkProtocol.ROUTE, (route) =>
    new ServiceLink(route, () => {}).delete('plan'),
  );
  if (!isThere) return false;
  try {
    return !(await NetlinkChannel.using(NetlinkProtocol.NETFILTER, hasOwnSets));
  } catch {
    // Then the link counts.
    return true;
  }
}

async function hasOwnSets(channel: NetlinkChannel): Promise<boolean> {
  const ipset = await Ipset.open(channel);
  return (await ipset.headers()).some(({ name }) => name.includes('PENSTOCK-'));
}

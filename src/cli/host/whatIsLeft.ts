/** What of ours is in the kernel, and what cannot be known: a clean-up is done when both are empty. */
import { append } from '../../append.js';
import { messageOf } from '../../errors.js';
import { legacyTables } from '../../kernel/xtables/legacyTables.js';
import { nftChainExists } from '../../kernel/xtables/nftChains.js';
import { removeIptables } from '../../modes/removing/removeIptables.js';
import { removeIpvs } from '../../modes/removing/removeIpvs.js';
import { localRangesLeft } from '../../modes/removing/removeUserspace.js';
import { IP_FAMILIES } from '../../net/ip.js';
import type { KubeProxyMode } from './kubeProxyMode.js';
import { removeOwnTables } from './removeOwnTables.js';

/** A sentence for each. `keeps`: the mode of a kube-proxy that goes on with what it has in common with ours. */
export async function whatIsLeft(keeps: KubeProxyMode | undefined): Promise<readonly string[]> {
  const found: string[] = [];
  const look = async (what: string, ask: () => Promise<readonly string[]>) => {
    try {
      append(found, await ask());
    } catch (error) {
      found.push(`${what} cannot be looked at: ${messageOf(error)}`);
    }
  };
  await look('nftables', async () => (await removeOwnTables('plan')).map((table) => `table ${table}`));
  await look('routes', async () => (await localRangesLeft()).map((cidr) => `the local route of ${cidr}`));
  await look('ipvs', async () => {
    const { rules, objects, error } = await removeIpvs('plan', keeps === 'ipvs' ? "not kube-proxy's" : 'all');
    if (error !== undefined) throw error;
    return [...objects, ...(keeps === 'iptables' ? [] : rules.flatMap(chainsLeft))];
  });
  if (keeps === undefined || keeps === 'nftables') {
    await look('iptables', async () => {
      const removals = await removeIptables('plan');
      return removals.length === 0 ? unseenChains() : removals.flatMap(chainsLeft);
    });
  }
  return [...new Set(found)];
}

function chainsLeft({
  subject,
  chains,
  input,
  error,
}: Awaited<ReturnType<typeof removeIptables>>[number]): readonly string[] {
  if (error !== undefined) return [`${subject} cannot be looked at: ${messageOf(error)}`];
  return input === '' ? [] : [`${subject}: ${chains} chains`];
}

/** Without any iptables program, chains can be there all the same. */
async function unseenChains(): Promise<readonly string[]> {
  const found: string[] = [];
  for (const family of IP_FAMILIES) {
    if (await nftChainExists(family, 'nat', 'KUBE-SERVICES'))
      found.push(`${family}: chains KUBE-*, which only a program iptables can remove; there is none here`);
    if ((await legacyTables(family)).includes('nat'))
      found.push(`${family}: legacy tables, which only a program iptables can look at; there is none here`);
  }
  return found;
}

/** When the node is left to another proxy whose rules are in force: ours go, and what both have stays. */
import { ROUTE_LOCALNET } from '../../dataplane/iptables/sysctls.js';
import type { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import { removeIptables } from '../../modes/removing/removeIptables.js';
import { removeIpvs } from '../../modes/removing/removeIpvs.js';
import { removeNftables } from '../../modes/removing/removeNftables.js';
import { removeLocalRanges } from '../../modes/removing/removeUserspace.js';

type Mode = 'nftables' | 'iptables' | 'ipvs' | 'userspace';

/** Rejects with what could not be removed; the rest is. */
export async function removeOwn(own: Mode, theirs: Mode, sysctls: Sysctls): Promise<void> {
  // Without the proxy and its rules, servers of the host would have what the other proxy does not serve.
  if (own === 'userspace') await removeLocalRanges();
  // Also what stands beside the rules of a mode: it would go on holding first packets, and choosing endpoints.
  await removeNftables('remove');
  if (own === 'nftables' || own === 'userspace') return;
  if (own === 'iptables' && theirs === 'iptables') return;
  // In this order, as chains that both have go with the last; those of the other proxy in mode iptables stay.
  if (own === 'ipvs') {
    const { rules, error } =
      theirs === 'ipvs' ? await removeIpvs('remove', "not kube-proxy's") : await removeIpvs('replace');
    throwFirst([...rules.map((removal) => removal.error), error]);
    return;
  }
  throwFirst((await removeIptables('remove')).map((removal) => removal.error));
  sysctls.restore([ROUTE_LOCALNET]);
}

function throwFirst(errors: readonly unknown[]): void {
  const found = errors.find((error) => error !== undefined);
  if (found !== undefined) throw found;
}

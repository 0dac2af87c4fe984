/** When a node changes its mode: the rules of the mode before go as soon as those of the new one are in force. */

import type { Logger } from 'pino';
import { append } from '../../append.js';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { ROUTE_LOCALNET } from '../../dataplane/iptables/sysctls.js';
import { messageOf } from '../../errors.js';
import type { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import type { Clock } from '../../time/Clock.js';
import { removeIptables } from './removeIptables.js';
import { removeIpvs } from './removeIpvs.js';
import { removeNftables } from './removeNftables.js';
import type { Removal } from './removeRules.js';
import { DIVERT, removeDivertRoutes, removeLocalRanges } from './removeUserspace.js';

/**
 * Never rejects: leftovers do no harm that a node without Services would not do worse. Resolves with what may be left, in
 * words; it can be tried again. Beside another proxy (serviceProxyName) iptables chains may be that one's, and stay.
 */
export async function removeOtherModes(
  config: Pick<NodeConfig, 'mode' | 'serviceProxyName'>,
  sysctls: Sysctls,
  clock: Clock,
  log: Logger,
): Promise<readonly string[]> {
  const left: string[] = [];
  try {
    for (const table of await removeNftables('remove', { kept: config.mode }))
      log.info(`removed what another mode left: table ${table}`);
    if (config.mode !== 'userspace') {
      for (const family of await removeDivertRoutes())
        log.info(`removed what mode userspace left: the ${family} rule and route of table ${DIVERT.table}`);
      for (const cidr of await removeLocalRanges())
        log.info(`removed what mode userspace left: the local route of ${cidr}`);
    }
    if (config.serviceProxyName !== '') return left;
    // First ipvs: what is left of chains that both have is then removed with mode iptables.
    if (config.mode !== 'ipvs') {
      const { rules, objects, error } = await removeIpvs('replace', 'all', clock);
      append(left, reportRules('ipvs', rules, log));
      if (objects.length > 0)
        log.info(`removed what mode ipvs left: ${objects.length} virtual servers, sets and links`);
      if (error !== undefined) left.push(`IPVS: what mode ipvs made may be left: ${messageOf(error)}`);
    }
    if (config.mode !== 'iptables') {
      append(left, reportRules('iptables', await removeIptables('remove'), log));
      // In a pod /proc/sys may be read-only.
      for (const error of sysctls.restore([ROUTE_LOCALNET]).failed)
        log.info(`a setting that mode iptables needed stays: ${error.message}`);
    }
  } catch (error) {
    log.debug({ err: error }, 'what another mode left could not be removed');
    left.push(`rules of another mode may be left: ${messageOf(error)}`);
  }
  return left;
}

/** What may be left. */
function reportRules(mode: 'iptables' | 'ipvs', removals: readonly Removal[], log: Logger): string[] {
  const left: string[] = [];
  for (const { subject, chains, error } of removals) {
    if (error !== undefined) left.push(`${subject}: rules of mode ${mode} may be left: ${messageOf(error)}`);
    else if (chains > 0) log.info(`removed what mode ${mode} left: ${subject}, ${chains} chains`);
  }
  return left;
}

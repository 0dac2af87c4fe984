/** Which of the kernel's virtual servers are ours to change. All others are somebody else's and stay as they are. */
import { type VirtualServerId, virtualServerKey } from '../../../kernel/ipvs/VirtualServer.js';
import type { IpvsOptions } from '../desired/IpvsSettings.js';
import { isExcluded } from '../desired/IpvsSettings.js';
import { isListed, recordElement } from '../desired/serverEntries.js';
import type { Present } from '../plan/Present.js';

/**
 * Those in our record (PENSTOCK-SERVERS), and those that `knownOurs` remembers.
 * Where there is no record but sets of kube-proxy, this node had kube-proxy in mode ipvs: what its sets list is taken
 * over, except in excludeCIDRs.
 */
export function ownServers(
  servers: Iterable<VirtualServerId>,
  sets: Present['sets'],
  options: Pick<IpvsOptions, 'excludeCIDRs'>,
  knownOurs: (key: string) => boolean,
): Set<string> {
  const record = sets.get('PENSTOCK-SERVERS');
  const takeOver = (record?.size ?? 0) === 0 && (sets.get('KUBE-IPVS-IPS')?.size ?? 0) > 0;
  const isOurs = (id: VirtualServerId): boolean => {
    const element = recordElement(id);
    if (record?.has(element)) return true;
    if (!takeOver || 'mark' in id || isExcluded(id.address, options)) return false;
    return isListed(id, sets);
  };
  const ours = new Set<string>();
  for (const id of servers) {
    const key = virtualServerKey(id);
    if (knownOurs(key) || isOurs(id)) ours.add(key);
  }
  return ours;
}

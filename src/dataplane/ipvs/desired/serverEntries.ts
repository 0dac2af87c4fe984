/** The elements of our own sets that go with a virtual server, by whoever owns its address and port. */

import type { VirtualServerId } from '../../../kernel/ipvs/VirtualServer.js';
import { bytesToIp } from '../../../net/ip.js';
import { placeElement, type SetEntry } from './SetEntry.js';
import type { WantedServer } from './servicePortState.js';
import { NODE_PORT_SETS, type SetName } from './sets.js';

export function serverEntries({ server, drop, clusterMark }: WantedServer): SetEntry[] {
  const element = recordElement(server);
  const entries: SetEntry[] = [{ set: 'PENSTOCK-SERVERS', element }];
  if (drop) entries.push({ set: 'PENSTOCK-DROP', element });
  if (clusterMark !== undefined) {
    entries.push({ set: 'PENSTOCK-CLUSTER-CLIENTS', element, mark: clusterMark });
  }
  return entries;
}

/**
 * What stands for the virtual server in PENSTOCK-SERVERS: its address and port. A mark stands there as the address with
 * the same bits, and port 0, which no Service has.
 */
export function recordElement(id: VirtualServerId): string {
  if (!('mark' in id)) return placeElement(id.address, id.protocol, id.port);
  const bytes = new Uint8Array(id.family === 'IPv4' ? 4 : 16);
  new DataView(bytes.buffer).setUint32(bytes.length - 4, id.mark);
  return placeElement(bytesToIp(bytes), 'TCP', 0);
}

/** Sets with what VIPs there are virtual servers for. */
const SERVED_PLACES: readonly SetName[] = [
  'KUBE-CLUSTER-IP',
  'KUBE-EXTERNAL-IP',
  'KUBE-EXTERNAL-IP-LOCAL',
  'KUBE-LOAD-BALANCER',
];

type Sets = ReadonlyMap<SetName, ReadonlyMap<string, number | undefined>>;

/** Whether the sets of a proxy, kube-proxy's or ours, say that it serves the place of this virtual server, or its mark. */
export function isListed(id: VirtualServerId, sets: Sets): boolean {
  if (isListedItself(id, sets)) return true;
  if ('mark' in id) return false;
  const { protocol, port } = id;
  const nodePort = protocol === 'SCTP' ? recordElement(id) : `${port}`;
  return sets.get(NODE_PORT_SETS[protocol].all)?.has(nodePort) ?? false;
}

/** The same for its very address and port, or its mark: a node port is listed for all addresses at once. */
export function isListedItself(id: VirtualServerId, sets: Sets): boolean {
  if ('mark' in id) return [...(sets.get('PENSTOCK-CLUSTER-CLIENTS')?.values() ?? [])].includes(id.mark);
  const element = recordElement(id);
  return SERVED_PLACES.some((set) => sets.get(set)?.has(element));
}

/** The elements of our own sets that go with a virtual server, by whoever owns its address and port. */
import { placeElement, type SetEntry } from './SetEntry.js';
import type { WantedServer } from './servicePortState.js';

export function serverEntries({ server, drop, clusterMark }: WantedServer): SetEntry[] {
  if ('mark' in server) return [];
  const element = placeElement(server.address, server.protocol, server.port);
  const entries: SetEntry[] = [{ set: 'PENSTOCK-SERVERS', element }];
  if (drop) entries.push({ set: 'PENSTOCK-DROP', element });
  if (clusterMark !== undefined) {
    entries.push({ set: 'PENSTOCK-CLUSTER-CLIENTS', element, mark: clusterMark });
  }
  return entries;
}

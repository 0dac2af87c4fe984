/** What is left of what a service port wants where somebody else's virtual servers are in its way. Pure. */
import type { ServicePort } from '../../../routing/ServicePort.js';
import type { SetEntry } from './SetEntry.js';
import { recordElement } from './serverEntries.js';
import type { ServicePortState, WantedServer } from './servicePortState.js';

/** Where somebody else's virtual servers stand, nothing is said of what they serve: neither elements nor addresses. */
export function withoutServers(
  state: ServicePortState,
  { nodePort }: ServicePort,
  foreign: ReadonlySet<string>,
): ServicePortState {
  const servers = state.servers.filter(({ key }) => !foreign.has(key));
  const gone = state.servers.filter(({ key }) => foreign.has(key));
  const addressOf = ({ server }: WantedServer) => ('address' in server ? [server.address] : []);
  const kept = new Set(servers.flatMap(addressOf));
  const places: readonly string[] = [
    ...gone.map(({ server }) => recordElement(server)),
    ...gone.flatMap(addressOf).filter((address) => !kept.has(address)),
    ...(nodePort !== 0 && !servers.some(({ rank }) => rank === 'node port') ? [`${nodePort}`] : []),
  ];
  const isGone = ({ element }: SetEntry) =>
    places.some((place) => element === place || element.startsWith(`${place},`));
  return {
    servers,
    entries: state.entries.filter((entry) => !isGone(entry)),
    addresses: state.addresses.filter((address) => kept.has(address)),
  };
}

/** What must be in force before all else: the API server's VIP, which everything on a fresh node waits for. */
import type { IpAddress } from '../../../net/ip.js';
import type { ServicePort } from '../../../routing/ServicePort.js';
import type { DesiredState } from '../desired/DesiredState.js';
import { entryKey } from '../desired/SetEntry.js';
import { serverEntries } from '../desired/serverEntries.js';

export interface UrgentParts {
  /** Keys of virtual servers. */
  readonly servers: ReadonlySet<string>;
  /** entryKey() */
  readonly entries: ReadonlySet<string>;
  readonly addresses: ReadonlySet<IpAddress>;
}

export function urgentParts(ports: ReadonlyMap<string, ServicePort>, desired: DesiredState): UrgentParts {
  const servers = new Set<string>();
  const entries = new Set<string>();
  const addresses = new Set<IpAddress>();
  for (const port of ports.values()) {
    if (port.namespace !== 'default' || port.service !== 'kubernetes') continue;
    const state = desired.stateOf(port);
    for (const server of state.servers) {
      servers.add(server.key);
      for (const entry of serverEntries(server)) entries.add(entryKey(entry));
    }
    for (const entry of state.entries) entries.add(entryKey(entry));
    for (const address of state.addresses) addresses.add(address);
  }
  return { servers, entries, addresses };
}

/** How the agent does, in one line: what `systemctl status` shows. */
import type { NodeConfig } from '../../config/NodeConfig.js';
import { IP_FAMILIES } from '../../net/ip.js';
import { type HealthState, isHealthy } from '../../observe/http/HealthServer.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';

/** `now`: milliseconds since the epoch. */
export function summaryOf(
  state: HealthState,
  config: Pick<NodeConfig, 'mode' | 'sync'>,
  table: Pick<RoutingTable, 'servicePorts'>,
  now: number,
): string {
  if (!state.ready) return `Not serving: ${state.reason}`;
  const services = new Set<string>();
  for (const family of IP_FAMILIES) {
    for (const { namespace, service } of table.servicePorts(family).values()) {
      services.add(`${namespace}/${service}`);
    }
  }
  const what = `${services.size} ${services.size === 1 ? 'Service' : 'Services'} in mode ${config.mode}`;
  return isHealthy(state, 2 * config.sync.period, now)
    ? `Serving ${what}`
    : `Serving ${what}; changes are not in force yet, the log says why`;
}

/** The routing table that a configuration asks for, on this host: one for the agent, for --dry-run, for render. */
import type { NodeConfig } from '../config/NodeConfig.js';
import { familyOf, type IpAddress, type IpFamily, isLoopback, isUnspecified } from '../net/ip.js';
import type { NodeFacts } from '../routing/NodeFacts.js';
import { RoutingTable } from '../routing/RoutingTable.js';

/** `hostAddresses`: those of this host that stand for the node until its Node object is known. */
export function makeTable(config: NodeConfig, hostAddresses: NodeFacts['addresses']): RoutingTable {
  return new RoutingTable({
    nodeName: config.nodeName,
    serviceProxyName: config.serviceProxyName,
    fallbackAddresses: hostAddresses,
    fixedAddresses: isUnspecified(config.bindAddress) ? {} : byFamily(config.bindAddress),
    ...(config.algorithm !== '' && { algorithm: config.algorithm }),
    externalIPs: config.featureGates.AllowServiceExternalIPs ? 'served' : 'ignored',
  });
}

function byFamily(address: IpAddress): Partial<Record<IpFamily, IpAddress>> {
  return isLoopback(address) ? {} : { [familyOf(address)]: address };
}

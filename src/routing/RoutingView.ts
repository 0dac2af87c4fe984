/** What a dataplane reads of the routing table. */
import type { RoutingTable } from './RoutingTable.js';

export type RoutingView = Pick<RoutingTable, 'servicePorts' | 'node' | 'nodeObject' | 'serviceCIDRs'>;

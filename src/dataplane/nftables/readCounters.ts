/** How many connections the service ports of one IP family had, as the elements of the kernel's maps counted them. */
import { NetlinkError } from '../../kernel/netlink/NetlinkError.js';
import { ipKey, portKey, protocolKey } from '../../kernel/nftables/dataTypes.js';
import type { ElementCounters } from '../../kernel/nftables/elements.js';
import { PROTOCOL_NUMBER } from '../../kernel/nftables/statements.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { ServicePortCounters } from '../Dataplane.js';
import { tableSets } from './desired/sets.js';

const PROTOCOL = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

/** The sizes of sets do not matter to who reads them. */
const ANY_SIZES = { 'service-ips': 0, 'node-ports': 0, endpoints: 0, 'node-port-endpoints': 0 };

/** What is needed of the kernel's table. */
export type CountingTable = Pick<NftablesTable, 'family' | 'readElements'>;

/**
 * Lists the two maps whose elements count. In the order of `ports`; one that the kernel does not have yet counted 0.
 * Rejects with NetlinkError.
 */
export async function readCounters(
  table: CountingTable,
  ports: Iterable<ServicePort>,
): Promise<readonly ServicePortCounters[]> {
  const sets = tableSets(table.family, { sizes: ANY_SIZES, counters: true });
  const counted = new Map<string, ElementCounters>();
  for (const set of [sets['service-ips'], sets['node-ports']]) {
    // Keys of the two maps differ in length.
    await table.readElements(set, ({ key, counters }) => {
      if (counters !== undefined && counters.packets > 0) counted.set(key, counters);
    });
  }
  return Array.from(ports, (servicePort) => sum(servicePort, counted));
}

/** Before the first sync, and after somebody deleted our table, there is no such map. */
export function hasNoTable(error: unknown): boolean {
  return error instanceof NetlinkError && error.code === 'ENOENT';
}

function sum(servicePort: ServicePort, counted: ReadonlyMap<string, ElementCounters>): ServicePortCounters {
  let connections = 0;
  let bytes = 0;
  for (const key of countingKeys(servicePort)) {
    const counters = counted.get(key);
    connections += counters?.packets ?? 0;
    bytes += counters?.bytes ?? 0;
  }
  return { servicePort, connections, bytes };
}

/** The keys that servicePortElements.ts gives the service port in these maps. */
function countingKeys(port: ServicePort): Set<string> {
  const protocol = protocolKey(PROTOCOL_NUMBER[PROTOCOL[port.protocol]]);
  const keys = new Set<string>();
  const ending = protocol + portKey(port.port);
  if (port.clusterIP !== undefined) keys.add(ipKey(port.clusterIP) + ending);
  for (const vip of port.externalIPs) keys.add(ipKey(vip) + ending);
  for (const vip of port.loadBalancerIPs) keys.add(ipKey(vip) + ending);
  if (port.nodePort !== 0) keys.add(protocol + portKey(port.nodePort));
  return keys;
}

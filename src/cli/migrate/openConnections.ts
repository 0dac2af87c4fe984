/** Connections to Services that are open on this node, and those that the first sync of penstock would delete. Needs root. */
import type { NodeConfig } from '../../config/NodeConfig.js';
import { ConntrackCleaner } from '../../dataplane/conntrack/ConntrackCleaner.js';
import { Destinations, NodePortAddresses } from '../../dataplane/conntrack/Destinations.js';
import { Conntrack } from '../../kernel/conntrack/Conntrack.js';
import { ConntrackStatus, IpProtocol } from '../../kernel/conntrack/constants.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { IP_FAMILIES, type IpAddress } from '../../net/ip.js';
import { servedNodePortAddresses } from '../../net/nodePortAddresses.js';
import { asNew } from '../../routing/ChangeSet.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Report } from './Remark.js';

const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

/** Rejects with NetlinkError, or PENSTOCK_CONNTRACK_UNSUPPORTED. Deletes nothing. */
export async function openConnections(
  table: RoutingTable,
  config: Pick<NodeConfig, 'nodePortAddresses'>,
  hostAddresses: readonly IpAddress[],
): Promise<NonNullable<Report['connections']>> {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
  });
  try {
    const conntrack = new Conntrack(channel);
    const addresses = IP_FAMILIES.flatMap((family) =>
      servedNodePortAddresses(config.nodePortAddresses, family, hostAddresses, table.node.addresses[family]),
    );
    let touched = 0;
    const cleaner = new ConntrackCleaner({
      conntrack: {
        selectsReplySource: (family) => conntrack.selectsReplySource(family),
        list: (filter) => conntrack.list(filter),
        delete: async (entries) => {
          touched += entries.length;
          return entries.length;
        },
      },
      onPostponed: () => {},
    });
    let open = 0;
    for (const family of IP_FAMILIES) {
      const ports = [...table.servicePorts(family).values()];
      cleaner.take(family, asNew(ports));
      for (const [protocol, number] of [
        ['TCP', IpProtocol.TCP],
        ['UDP', IpProtocol.UDP],
      ] as const) {
        const places = new Destinations(
          ports.filter((port) => port.protocol === protocol),
          new NodePortAddresses(addresses),
        );
        for (const { original, status } of await conntrack.list({ family, protocol: number })) {
          const isAnswered = (status & ConntrackStatus.SEEN_REPLY) !== 0;
          if (isAnswered && places.owner(original.destination, original.destinationPort)) open++;
        }
      }
    }
    await cleaner.clean(addresses);
    await cleaner.stop();
    return { open, touched };
  } finally {
    channel.close();
  }
}

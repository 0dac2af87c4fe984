/** Mode nftables on this host: its options, and the dataplane with the kernel behind it. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { Dataplane, DataplaneListener } from '../dataplane/Dataplane.js';
import type { NftablesOptions } from '../dataplane/nftables/desired/NftablesSettings.js';
import { isNotOurs } from '../dataplane/nftables/desired/sets.js';
import { NftablesDataplane, type NftablesHost, TABLE } from '../dataplane/nftables/NftablesDataplane.js';
import { Conntrack } from '../kernel/conntrack/Conntrack.js';
import { hostHasIpv6 } from '../kernel/host/hostHasIpv6.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { NftablesTable } from '../kernel/nftables/NftablesTable.js';
import { TableWatch } from '../kernel/nftables/TableWatch.js';
import { IP_FAMILIES, type IpFamily } from '../net/ip.js';
import { localhostFamilies, openLocalhostProxy } from './localhostNodePorts.js';
import type { ModeHost } from './openDataplane.js';

/** The largest transaction must fit: 20 MB for half a million endpoints. */
const SEND_BUFFER_BYTES = 256 * 1024 * 1024;
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

export async function openNftables(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<Dataplane> {
  const families = nftablesFamilies();
  const asking = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  const localhost = await openLocalhostProxy(
    localhostFamilies(config, families),
    new Conntrack(asking),
    (family, protocol, nodePort) => dataplane.ownerOf(family, protocol, nodePort),
    log,
  );
  const dataplane = openTable(
    TABLE,
    nftablesOptions(config),
    host,
    {
      localhostPorts: (family) => {
        const [tcp, udp] = [localhost?.port(family, 'TCP'), localhost?.port(family, 'UDP')];
        return { ...(tcp === undefined ? {} : { tcp }), ...(udp === undefined ? {} : { udp }) };
      },
      close: async () => {
        await localhost?.close();
        asking.close();
      },
    },
    listener,
  );
  return dataplane;
}

export function nftablesFamilies(): readonly IpFamily[] {
  return IP_FAMILIES.filter((family) => family === 'IPv4' || hostHasIpv6());
}

/** Mode nftables in a table of the given name. */
export function openTable(
  name: string,
  options: NftablesOptions,
  host: ModeHost,
  { close, ...own }: Pick<NftablesHost, 'localhostPorts' | 'divertMark' | 'close'>,
  listener: DataplaneListener,
): NftablesDataplane {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    sendBufferBytes: SEND_BUFFER_BYTES,
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
  });
  const watching = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
  });
  return new NftablesDataplane(
    options,
    {
      tables: nftablesFamilies().map((family) => new NftablesTable(channel, family, name)),
      addresses: host.addresses,
      watch: (handlers) => {
        new TableWatch(watching, { table: name, ownPort: channel.portId, ignores: isNotOurs, ...handlers });
      },
      ...own,
      close: async () => {
        await close();
        watching.close();
        channel.close();
      },
    },
    listener,
  );
}

export function nftablesOptions(config: NodeConfig): NftablesOptions {
  return {
    masqueradeMark: config.masqueradeMark,
    masqueradeAll: config.masqueradeAll,
    nodePortAddresses: config.nodePortAddresses,
    detectLocal: config.detectLocal,
    answerPing: config.answerPing,
    counters: config.serviceCounters,
  };
}

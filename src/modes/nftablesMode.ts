/** Mode nftables on this host: its options, and the dataplane with the kernel behind it. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { DataplaneListener } from '../dataplane/Dataplane.js';
import type { LocalhostOptions } from '../dataplane/localhost/LocalhostOptions.js';
import type { NftablesOptions } from '../dataplane/nftables/desired/NftablesSettings.js';
import { isNotOurs, TABLE } from '../dataplane/nftables/desired/sets.js';
import { NftablesDataplane, type NftablesHost } from '../dataplane/nftables/NftablesDataplane.js';
import { OpenList } from '../host/OpenList.js';
import { Conntrack } from '../kernel/conntrack/Conntrack.js';
import { hostFamilies } from '../kernel/host/hostFamilies.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { readGeneration } from '../kernel/nftables/readGeneration.js';
import { NftablesTable } from '../kernel/nftables/table/NftablesTable.js';
import { openNftablesChannel } from '../kernel/nftables/table/openNftablesChannel.js';
import { TableWatch } from '../kernel/nftables/table/TableWatch.js';
import type { IpFamily } from '../net/ip.js';
import { AcceptOnConnect } from './beside/AcceptOnConnect.js';
import { accompanied } from './beside/AccompaniedDataplane.js';
import { EndpointChoice } from './beside/EndpointChoice.js';
import { WakeOnConnect, wakeOptions } from './beside/WakeOnConnect.js';
import { localhostFamilies, openLocalhostProxy, portsOf } from './localhostNodePorts.js';
import { type ModeHost, NOTHING_TO_PREPARE, type OpenMode } from './ModeHost.js';
import { servedByOthers } from './servedByOthers.js';

const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

export async function openNftables(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<OpenMode> {
  const open = new OpenList(log);
  return open.closeUnless(async () => {
    const asking = NetlinkChannel.open(NetlinkProtocol.NETFILTER, host);
    open.add('the view of tracked connections', () => asking.close());
    const conntrack = new Conntrack(asking);
    const families = localhostFamilies(config, hostFamilies());
    const servicePort: LocalhostOptions['servicePort'] = (family, protocol, nodePort) =>
      dataplane.ownerOf(family, protocol, nodePort);
    const localhost = await openLocalhostProxy(families, conntrack, servicePort, host.clock, log);
    open.add('node ports on localhost', () => localhost?.close());
    const localhostPorts = (family: IpFamily) => portsOf(localhost, family);
    const dataplane = openTable(
      TABLE,
      nftablesOptions(config),
      host,
      { localhostPorts, servedByOthers },
      open,
      listener,
    );
    const choice = new EndpointChoice({ families: hostFamilies(), clock: host.clock, log });
    const waking = new WakeOnConnect(hostFamilies(), wakeOptions(config), host, log);
    const accepting = new AcceptOnConnect(hostFamilies(), config, host, log);
    return {
      dataplane: accompanied(dataplane, { after: choice, inForce: waking, accepting }),
      prepareHost: NOTHING_TO_PREPARE,
    };
  });
}

/** Mode nftables in a table of the given name. Its close() closes all of `open`. */
export function openTable(
  name: string,
  options: NftablesOptions,
  host: ModeHost,
  own: Pick<NftablesHost, 'localhostPorts' | 'divertMark' | 'untranslated' | 'servedByOthers'>,
  open: OpenList,
  listener: DataplaneListener,
): NftablesDataplane {
  const channel = openNftablesChannel(host.clock);
  open.add(`the table ${name}`, () => channel.close());
  const watching = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
    clock: host.clock,
  });
  open.add(`the watch on table ${name}`, () => watching.close());
  return new NftablesDataplane(
    { ...options, logGroup: host.logGroup ?? 0 },
    {
      tables: hostFamilies().map((family) => new NftablesTable(channel, family, name)),
      addresses: host.addresses,
      clock: host.clock,
      generation: () => readGeneration(channel),
      watch: (handlers) =>
        new TableWatch(watching, { table: name, ownPort: channel.portId, ignores: isNotOurs, ...handlers }),
      ...own,
      close: () => open.close(),
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

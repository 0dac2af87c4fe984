/** Mode ipvs on this host: its options, the host made ready, and the dataplane with the kernel behind it. */
import { release } from 'node:os';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { DataplaneListener } from '../dataplane/Dataplane.js';
import type { IpvsOptions } from '../dataplane/ipvs/desired/IpvsSettings.js';
import { IpvsDataplane } from '../dataplane/ipvs/IpvsDataplane.js';
import { hostSysctls } from '../dataplane/ipvs/kernel/hostSysctls.js';
import { KernelFamily } from '../dataplane/ipvs/kernel/KernelFamily.js';
import { ServiceLink } from '../dataplane/ipvs/kernel/ServiceLink.js';
import { TABLES } from '../dataplane/ipvs/rules/chains.js';
import { messageOf } from '../errors.js';
import { OpenList } from '../host/OpenList.js';
import { Conntrack } from '../kernel/conntrack/Conntrack.js';
import { Ipset } from '../kernel/ipset/Ipset.js';
import { Ipvs } from '../kernel/ipvs/Ipvs.js';
import { NetlinkProtocol } from '../kernel/netlink/constants.js';
import { NetlinkChannel } from '../kernel/netlink/NetlinkChannel.js';
import { readGeneration } from '../kernel/nftables/readGeneration.js';
import type { Sysctls } from '../kernel/sysctl/Sysctls.js';
import { readLegacyState } from '../kernel/xtables/readLegacyState.js';
import type { XtablesTool } from '../kernel/xtables/XtablesTool.js';
import { includesIpv4Loopback } from '../net/nodePortAddresses.js';
import { AcceptOnConnect } from './beside/AcceptOnConnect.js';
import { accompanied } from './beside/AccompaniedDataplane.js';
import { openTelling, openTools } from './iptablesMode.js';
import { openLocalhostProxy, portsOf } from './localhostNodePorts.js';
import type { ModeHost, OpenMode } from './ModeHost.js';

const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

/** Rejects with what the mode lacks on this host. */
export async function openIpvs(
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<OpenMode> {
  const tools = await openTools(config, log);
  const open = new OpenList(log);
  return open.closeUnless(() => openWith(open, tools, config, host, listener, log));
}

async function openWith(
  open: OpenList,
  tools: readonly XtablesTool[],
  config: NodeConfig,
  host: ModeHost,
  listener: DataplaneListener,
  log: Logger,
): Promise<OpenMode> {
  const options = ipvsOptions(config);
  const channel = (protocol: number) => {
    const opened = NetlinkChannel.open(protocol, {
      receiveBufferBytes: RECEIVE_BUFFER_BYTES,
      clock: host.clock,
    });
    open.add(`netlink channel ${protocol}`, () => opened.close());
    return opened;
  };
  const netfilter = channel(NetlinkProtocol.NETFILTER);
  const ipvs = await Ipvs.open(channel(NetlinkProtocol.GENERIC));
  const ipset = await Ipset.open(netfilter);
  const link = new ServiceLink(channel(NetlinkProtocol.ROUTE), host.ignoreLink);
  // Before anybody asks for the addresses of the host.
  await link.announce();
  const localhost = await openLocalhostProxy(
    localhostWanted(config) ? ['IPv4'] : [],
    new Conntrack(netfilter),
    (family, protocol, nodePort) => dataplane.ownerOf(family, protocol, nodePort),
    host.clock,
    log,
  );
  open.add('node ports on localhost', () => localhost?.close());
  const telling = openTelling('ipvs', config, tools, host, log);
  const accepting = new AcceptOnConnect(
    tools.map(({ family }) => family),
    config,
    host,
    log,
  );
  const programs = tools.map((tool) => tool.description).join(', ');
  const { version } = await ipvs.info();
  const dataplane: IpvsDataplane = new IpvsDataplane(
    options,
    {
      description: `IPVS ${version}, scheduler ${options.scheduler}; ${programs}`,
      kernels: tools.map(
        (tool) => new KernelFamily({ tool, ipvs, ipset, link, excludeCIDRs: options.excludeCIDRs }),
      ),
      addresses: host.addresses,
      clock: host.clock,
      randomFully: tools.every((tool) => tool.version.randomFully),
      localhostPorts: (family) => portsOf(localhost, family),
      rulesState: () => rulesState(tools, netfilter, () => (telling?.committed ?? 0) + accepting.committed),
      close: () => open.close(),
    },
    listener,
  );
  return {
    dataplane: accompanied(dataplane, { before: telling, accepting }),
    prepareHost: async () => {
      setSysctls(host.sysctls, options, log);
      await setTimeouts(ipvs, options, log);
    },
  };
}

/** Every transaction of anybody changes it (nf_tables), or every rule that comes or goes (ip_tables). */
async function rulesState(
  tools: readonly XtablesTool[],
  channel: NetlinkChannel,
  ownTransactions: () => number,
): Promise<string | undefined> {
  const isLegacy = tools.some((tool) => tool.version.backend === 'legacy');
  if (isLegacy) return tools.map((tool) => readLegacyState(tool.family, TABLES)).join(' ');
  const generation = await readGeneration(channel);
  return generation === undefined ? undefined : `${generation - ownTransactions()}`;
}

export function ipvsOptions(config: NodeConfig): IpvsOptions {
  const { scheduler, excludeCIDRs, strictARP, tcpTimeout, tcpFinTimeout, udpTimeout } = config.ipvs;
  return {
    masqueradeMark: config.masqueradeMark,
    masqueradeAll: config.masqueradeAll,
    nodePortAddresses: config.nodePortAddresses,
    detectLocal: config.detectLocal,
    scheduler,
    excludeCIDRs,
    strictARP,
    timeouts: { tcp: tcpTimeout, tcpFin: tcpFinTimeout, udp: udpTimeout },
    syncPeriodMs: config.sync.period,
  };
}

/** As in mode iptables: IPv4 only, unless nodePortAddresses leave loopback out. */
function localhostWanted({ localhostNodePorts, nodePortAddresses }: NodeConfig): boolean {
  return localhostNodePorts && includesIpv4Loopback(nodePortAddresses, undefined);
}

function setSysctls(sysctls: Sysctls, { strictARP }: IpvsOptions, log: Logger): void {
  const { wanted, notes } = hostSysctls(release(), strictARP);
  for (const { name, value } of wanted) {
    if (sysctls.ensure(name, value) === 'written') log.info(`set ${name.replaceAll('/', '.')} to ${value}`);
  }
  for (const note of notes) log.info(note);
}

/** A timeout that cannot be set costs less than a node without Services. */
async function setTimeouts(ipvs: Ipvs, { timeouts }: IpvsOptions, log: Logger): Promise<void> {
  const { tcp, tcpFin, udp } = timeouts;
  if (tcp + tcpFin + udp === 0) return;
  const seconds = (milliseconds: number) => Math.floor(milliseconds / 1000);
  try {
    await ipvs.setTimeouts({ tcp: seconds(tcp), tcpFin: seconds(tcpFin), udp: seconds(udp) });
  } catch (error) {
    log.warn({ err: error }, `the timeouts of IPVS stay as they are: ${messageOf(error)}`);
  }
}

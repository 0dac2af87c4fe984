/** What the kernel has against what the objects ask for, in whichever mode: reads, and writes nothing. */

import type { Logger } from 'pino';
import { append } from '../../append.js';
import type { NodeConfig } from '../../config/NodeConfig.js';
import type { FamilyRuleFacts, RuleFacts } from '../../dataplane/Dataplane.js';
import { differences as iptablesDifferences } from '../../dataplane/iptables/differences.js';
import { ruleSettings } from '../../dataplane/iptables/IptablesOptions.js';
import { NFACCT_INVALID_DROPPED } from '../../dataplane/iptables/rules/RuleSettings.js';
import { LIBERAL, ROUTE_LOCALNET } from '../../dataplane/iptables/sysctls.js';
import { ipvsSettings } from '../../dataplane/ipvs/desired/IpvsSettings.js';
import { differences as ipvsDifferences } from '../../dataplane/ipvs/differences.js';
import { KernelFamily } from '../../dataplane/ipvs/kernel/KernelFamily.js';
import { ServiceLink } from '../../dataplane/ipvs/kernel/ServiceLink.js';
import type { KernelDifference } from '../../dataplane/KernelDifference.js';
import { type NftablesOptions, nftablesSettings } from '../../dataplane/nftables/desired/NftablesSettings.js';
import { TABLE } from '../../dataplane/nftables/desired/sets.js';
import { differences as nftablesDifferences } from '../../dataplane/nftables/differences.js';
import { CAPTURE_TABLE, CaptureView, throughViews } from '../../dataplane/userspace/CaptureView.js';
import { hostFamilies } from '../../kernel/host/hostFamilies.js';
import { Ipset } from '../../kernel/ipset/Ipset.js';
import { Ipvs } from '../../kernel/ipvs/Ipvs.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { Nfacct } from '../../kernel/nfacct/Nfacct.js';
import { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import { HostAddressWatch } from '../../kernel/routes/HostAddressWatch.js';
import { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import { asNew } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { besideDifferences } from '../beside/besideDifferences.js';
import { iptablesOptions, openTools } from '../iptablesMode.js';
import { ipvsOptions } from '../ipvsMode.js';
import { nftablesOptions } from '../nftablesMode.js';
import { captureOptions } from '../userspaceMode.js';
import { hostFactsOf } from './hostFactsOf.js';

/** Tables of 50,000 Services come in many datagrams at once. */
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

export interface Comparing {
  readonly config: NodeConfig;
  readonly view: RoutingView;
  readonly facts: RuleFacts;
  readonly log: Logger;
}

/** Rejects with NetlinkError, or with what the mode lacks on this host. */
export async function kernelDifferences(comparing: Comparing): Promise<readonly KernelDifference[]> {
  const open: (() => void)[] = [];
  const channel = (protocol: number) => {
    const opened = NetlinkChannel.open(protocol, { receiveBufferBytes: RECEIVE_BUFFER_BYTES });
    open.push(() => opened.close());
    return opened;
  };
  const watch = await HostAddressWatch.open();
  open.push(() => watch.close());
  try {
    const { beside = [] } = comparing.facts;
    const found = await ofMode(comparing, channel, watch);
    if (beside.length === 0) return found;
    const { config, view } = comparing;
    const more = await besideDifferences(beside, config, view, channel(NetlinkProtocol.NETFILTER));
    return [...found, ...more];
  } finally {
    for (const close of open) close();
  }
}

async function ofMode(
  comparing: Comparing,
  channel: (protocol: number) => NetlinkChannel,
  watch: HostAddressWatch,
): Promise<readonly KernelDifference[]> {
  switch (comparing.config.mode) {
    case 'ipvs':
      return await ofIpvs(comparing, channel, watch);
    case 'iptables':
      return await ofIptables(comparing, channel(NetlinkProtocol.NETFILTER), watch.addresses);
    case 'userspace':
      return await ofUserspace(comparing, channel(NetlinkProtocol.NETFILTER), watch.addresses);
    default:
      return await ofNftables(comparing, channel(NetlinkProtocol.NETFILTER), watch.addresses, {
        name: TABLE,
        options: nftablesOptions(comparing.config),
      });
  }
}

function factsOf({ facts }: Comparing, family: IpFamily): FamilyRuleFacts {
  return facts.families[family] ?? { localhostPorts: {}, divertMark: 0 };
}

async function ofNftables(
  comparing: Comparing,
  channel: NetlinkChannel,
  addresses: readonly IpAddress[],
  { name, options }: { readonly name: string; readonly options: NftablesOptions },
): Promise<readonly KernelDifference[]> {
  const { view, facts } = comparing;
  const found: KernelDifference[] = [];
  for (const family of hostFamilies()) {
    const host = hostFactsOf(facts, family, addresses);
    const settings = nftablesSettings({ ...options, logGroup: facts.logGroup }, family, view, host);
    const table = new NftablesTable(channel, family, name);
    append(found, await nftablesDifferences(table, view.servicePorts(family), settings));
  }
  return found;
}

/** Rules send everything to the proxy: what it does with that is its own business, and in no table. */
async function ofUserspace(
  comparing: Comparing,
  channel: NetlinkChannel,
  addresses: readonly IpAddress[],
): Promise<readonly KernelDifference[]> {
  const { view } = comparing;
  const views = new Map<IpFamily, CaptureView>();
  for (const family of hostFamilies()) {
    const { engine } = factsOf(comparing, family);
    if (engine === undefined) continue;
    const capture = new CaptureView(engine);
    capture.apply(asNew(view.servicePorts(family).values()));
    views.set(family, capture);
  }
  const seen = { ...comparing, view: throughViews(view, views) };
  const capture = { name: CAPTURE_TABLE, options: captureOptions(comparing.config) };
  return ofNftables(seen, channel, addresses, capture);
}

async function ofIptables(
  { config, view, log }: Comparing,
  channel: NetlinkChannel,
  addresses: readonly IpAddress[],
): Promise<readonly KernelDifference[]> {
  const tools = await openTools(config, log);
  const sysctls = new Sysctls();
  const counters = await new Nfacct(channel).list().catch(() => new Map<string, unknown>());
  const facts = {
    addresses,
    randomFully: tools.every((tool) => tool.version.randomFully),
    conntrackLiberal: (sysctls.read(LIBERAL) ?? '0') !== '0',
    accounting: counters.has(NFACCT_INVALID_DROPPED),
  };
  const options = iptablesOptions(config);
  const localhostNodePorts = options.localhostNodePorts && sysctls.read(ROUTE_LOCALNET) === '1';
  const found: KernelDifference[] = [];
  for (const tool of tools) {
    const settings = ruleSettings({ ...options, localhostNodePorts }, tool.family, view, facts);
    append(found, await iptablesDifferences(tool, view.servicePorts(tool.family), settings));
  }
  return found;
}

async function ofIpvs(
  comparing: Comparing,
  channel: (protocol: number) => NetlinkChannel,
  watch: HostAddressWatch,
): Promise<readonly KernelDifference[]> {
  const { config, view, log } = comparing;
  const options = ipvsOptions(config);
  const tools = await openTools(config, log);
  const ipvs = await Ipvs.open(channel(NetlinkProtocol.GENERIC));
  const ipset = await Ipset.open(channel(NetlinkProtocol.NETFILTER));
  const link = new ServiceLink(channel(NetlinkProtocol.ROUTE), (index) => watch.ignoreLink(index));
  await link.announce();
  const randomFully = tools.every((tool) => tool.version.randomFully);
  const found: KernelDifference[] = [];
  for (const tool of tools) {
    const { family } = tool;
    const { localhostPorts } = factsOf(comparing, family);
    const host = { addresses: watch.addresses, randomFully, localhostPorts };
    const kernel = new KernelFamily({ tool, ipvs, ipset, link, excludeCIDRs: options.excludeCIDRs });
    const settings = ipvsSettings(options, family, view, host);
    append(found, await ipvsDifferences(kernel, view.servicePorts(family), settings));
  }
  return found;
}

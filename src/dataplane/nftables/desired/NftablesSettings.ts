/** From the options of the mode, the routing table and the host to what the rules of one family depend on. Pure. */
import { type Cidr, familyOf, type IpAddress, type IpFamily, isLoopback } from '../../../net/ip.js';
import type { LocalDetector } from '../../../net/LocalDetector.js';
import { type NodePortAddresses, selectNodePortAddresses } from '../../../net/nodePortAddresses.js';
import type { RoutingView } from '../../../routing/RoutingView.js';

export interface NftablesOptions {
  /** One bit of the packet mark; 0: nothing is masqueraded. */
  readonly masqueradeMark: number;
  readonly masqueradeAll: boolean;
  readonly nodePortAddresses: NodePortAddresses;
  readonly detectLocal: LocalDetector;
  /** ICMP echo requests to VIPs are answered by the node. */
  readonly answerPing: boolean;
  /** Service ports count their connections. */
  readonly counters: boolean;
  /** Connections of this host whose packets bear this mark are for no Service. 0 or absent: there are none. */
  readonly ownMark?: number;
  /** Who listens to what is refused or dropped (nfnetlink_log). 0 or absent: nobody. */
  readonly logGroup?: number;
}

/** How to tell that a packet comes from a pod: by its source, or by the interface it enters (`cni*`: any that begins so). */
export type LocalTraffic =
  | { readonly by: 'source'; readonly cidr: Cidr }
  | { readonly by: 'interface'; readonly name: string };

export interface NftablesSettings {
  readonly family: IpFamily;
  /** Whose rules decide where another proxy has some too: ours while an agent keeps them up to date, else the other's. */
  readonly stance: 'first' | 'behind';
  readonly masqueradeMark: number;
  readonly masqueradeAll: boolean;
  /** Undefined: pods cannot be told from others, and nothing that needs it is written. */
  readonly localTraffic: LocalTraffic | undefined;
  /** `all`: every address of the node but loopback, also those that come later. */
  readonly nodePortAddresses: 'all' | 'listed';
  /** The addresses that node ports answer on now, without loopback. */
  readonly nodePortIPs: readonly IpAddress[];
  /** Ports of ours on loopback that connections to node ports on loopback are redirected to. */
  readonly localhostPorts: { readonly tcp?: number; readonly udp?: number };
  /** What packets are marked with that are for sockets of ours with addresses of clients; 0: there are none. */
  readonly divertMark: number;
  /** What the connections of a proxy of ours are marked with, which must not come back to it; 0: there is none. */
  readonly ownMark: number;
  /** Ranges whose cluster IPs are answered by sockets of ours as they are (IP_TRANSPARENT), and by nobody else of this host. */
  readonly untranslated: readonly Cidr[];
  readonly answerPing: boolean;
  readonly counters: boolean;
  /** 0: nothing is logged. */
  readonly logGroup: number;
  /** Cluster IPs that no Service has: packets to them are dropped. */
  readonly serviceCIDRs: readonly Cidr[];
}

/** What the rules depend on of the host. */
export interface HostFacts {
  readonly addresses: readonly IpAddress[];
  readonly localhostPorts: NftablesSettings['localhostPorts'];
  /** 0 when absent. */
  readonly divertMark?: number;
  /** None when absent. */
  readonly untranslated?: readonly Cidr[];
  /** `first` when absent. */
  readonly stance?: NftablesSettings['stance'];
}

export function nftablesSettings(
  options: NftablesOptions,
  family: IpFamily,
  table: Pick<RoutingView, 'node' | 'nodeObject' | 'serviceCIDRs'>,
  { addresses, localhostPorts, divertMark = 0, untranslated = [], stance = 'first' }: HostFacts,
): NftablesSettings {
  const { masqueradeMark, masqueradeAll, answerPing, counters, nodePortAddresses } = options;
  const host = addresses.filter((ip) => familyOf(ip) === family && !isLoopback(ip));
  const selected = selectNodePortAddresses(nodePortAddresses, family, host, table.node.addresses[family]);
  return {
    family,
    stance,
    masqueradeMark,
    masqueradeAll,
    localTraffic: localTraffic(options.detectLocal, family, table.nodeObject?.podCIDRs ?? []),
    nodePortAddresses: selected === 'all' ? 'all' : 'listed',
    nodePortIPs: [...(selected === 'all' ? host : selected)].sort(),
    localhostPorts,
    divertMark,
    untranslated,
    ownMark: options.ownMark ?? 0,
    answerPing,
    counters,
    logGroup: options.logGroup ?? 0,
    serviceCIDRs: table.serviceCIDRs(family),
  };
}

/** How pods are told from others in a family. */
export function localTraffic(
  detector: LocalDetector,
  family: IpFamily,
  podCIDRs: readonly Cidr[],
): LocalTraffic | undefined {
  switch (detector.type) {
    case 'ClusterCIDR':
      return bySource(detector.cidrs[family]);
    case 'NodeCIDR':
      return bySource(podCIDRs.find((cidr) => familyOf(cidr) === family));
    case 'BridgeInterface':
      return { by: 'interface', name: detector.name };
    case 'InterfaceNamePrefix':
      return { by: 'interface', name: `${detector.prefix}*` };
    case 'None':
      return undefined;
  }
}

function bySource(cidr: Cidr | undefined): LocalTraffic | undefined {
  return cidr === undefined ? undefined : { by: 'source', cidr };
}

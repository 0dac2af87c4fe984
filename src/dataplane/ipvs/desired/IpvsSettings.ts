/** From the options of the mode, the routing table and the host to what the kernel's state depends on. Pure. */
import { type LocalTrafficMatch, matchLocalTraffic } from '../../../kernel/xtables/matchLocalTraffic.js';
import {
  type Cidr,
  cidrContains,
  familyOf,
  type IpAddress,
  type IpFamily,
  isLoopback,
} from '../../../net/ip.js';
import type { LocalDetector } from '../../../net/LocalDetector.js';
import { type NodePortAddresses, selectNodePortAddresses } from '../../../net/nodePortAddresses.js';
import type { RoutingTable } from '../../../routing/RoutingTable.js';

export interface IpvsOptions {
  /** One bit of the packet mark. */
  readonly masqueradeMark: number;
  readonly masqueradeAll: boolean;
  readonly nodePortAddresses: NodePortAddresses;
  readonly detectLocal: LocalDetector;
  /** The kernel's name of the scheduler for Services that ask for none. */
  readonly scheduler: string;
  /** Virtual servers at these addresses are somebody else's, whatever they look like. */
  readonly excludeCIDRs: readonly Cidr[];
  readonly strictARP: boolean;
  /** Milliseconds; 0 leaves the kernel's value. */
  readonly timeouts: { readonly tcp: number; readonly tcpFin: number; readonly udp: number };
  /** Milliseconds: the longest time between thorough verifications. */
  readonly syncPeriodMs: number;
}

/** What the rules depend on. Two equal ones give the same rules. */
export interface RuleSettings {
  readonly family: IpFamily;
  readonly masqueradeMark: number;
  readonly masqueradeAll: boolean;
  /** Undefined: pods cannot be told from others, and nothing that needs it is written. */
  readonly localTraffic: LocalTrafficMatch | undefined;
  /** MASQUERADE takes --random-fully. */
  readonly randomFully: boolean;
  /** Ports of ours on loopback that connections to node ports on loopback are redirected to. */
  readonly localhostPorts: { readonly tcp?: number; readonly udp?: number };
}

export interface IpvsSettings extends RuleSettings {
  /** The addresses that node ports answer on now, without loopback. */
  readonly nodePortIPs: readonly IpAddress[];
  /** Addresses of the host's own links: a VIP among them is not bound to kube-ipvs0 as well. */
  readonly hostIPs: readonly IpAddress[];
  readonly scheduler: string;
  readonly excludeCIDRs: readonly Cidr[];
}

/** What the settings depend on of the host. `addresses` are those of all links but kube-ipvs0. */
export interface HostFacts {
  readonly addresses: readonly IpAddress[];
  readonly randomFully: boolean;
  readonly localhostPorts: RuleSettings['localhostPorts'];
}

export function ipvsSettings(
  options: IpvsOptions,
  family: IpFamily,
  table: Pick<RoutingTable, 'node' | 'nodeObject'>,
  { addresses, randomFully, localhostPorts }: HostFacts,
): IpvsSettings {
  const { masqueradeMark, masqueradeAll, nodePortAddresses, scheduler } = options;
  const host = addresses.filter((ip) => familyOf(ip) === family && !isLoopback(ip)).sort();
  const selected = selectNodePortAddresses(nodePortAddresses, family, host, table.node.addresses[family]);
  return {
    family,
    masqueradeMark,
    masqueradeAll,
    localTraffic: matchLocalTraffic(options.detectLocal, family, table.nodeObject?.podCIDRs ?? []),
    randomFully,
    localhostPorts,
    nodePortIPs: selected === 'all' ? host : selected,
    hostIPs: host,
    scheduler,
    excludeCIDRs: options.excludeCIDRs,
  };
}

/** Whether a virtual server at the address may be taken for kube-proxy's. */
export function isExcluded(address: IpAddress, options: Pick<IpvsOptions, 'excludeCIDRs'>): boolean {
  return options.excludeCIDRs.some((cidr) => cidrContains(cidr, address));
}

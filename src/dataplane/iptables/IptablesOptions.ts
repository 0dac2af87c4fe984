/** From the options of the mode, the routing table and the host to what the rules depend on. Pure. */
import { matchLocalTraffic } from '../../kernel/xtables/matchLocalTraffic.js';
import { type IpAddress, type IpFamily, isLoopback } from '../../net/ip.js';
import type { LocalDetector } from '../../net/LocalDetector.js';
import {
  includesIpv4Loopback,
  type NodePortAddresses,
  selectNodePortAddresses,
} from '../../net/nodePortAddresses.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { RuleSettings } from './rules/RuleSettings.js';

export interface IptablesOptions {
  readonly masqueradeMark: number;
  readonly masqueradeAll: boolean;
  readonly localhostNodePorts: boolean;
  readonly nodePortAddresses: NodePortAddresses;
  readonly detectLocal: LocalDetector;
  /** Milliseconds: the first retry of a refused service port, and the time between thorough verifications. */
  readonly syncPeriodMs: number;
}

/** What the rules depend on of the host. */
export interface HostFacts {
  readonly addresses: readonly IpAddress[];
  readonly randomFully: boolean;
  readonly conntrackLiberal: boolean;
  readonly accounting: boolean;
}

export function ruleSettings(
  options: IptablesOptions,
  family: IpFamily,
  table: Pick<RoutingView, 'node' | 'nodeObject'>,
  { addresses, ...facts }: HostFacts,
): RuleSettings {
  const { masqueradeMark, masqueradeAll, nodePortAddresses } = options;
  const nodeAddress = table.node.addresses[family];
  const localhostNodePorts =
    family === 'IPv4' && options.localhostNodePorts && includesIpv4Loopback(nodePortAddresses, nodeAddress);
  const selected = selectNodePortAddresses(nodePortAddresses, family, addresses, nodeAddress);
  return {
    family,
    masqueradeMark,
    masqueradeAll,
    localTraffic: matchLocalTraffic(options.detectLocal, family, table.nodeObject?.podCIDRs ?? []),
    localhostNodePorts,
    nodePortAddresses:
      selected === 'all' || localhostNodePorts ? selected : selected.filter((ip) => !isLoopback(ip)),
    ...facts,
  };
}

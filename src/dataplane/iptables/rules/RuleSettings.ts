/** What the rules of one family depend on besides the routing table. */
import type { LocalTrafficMatch } from '../../../kernel/xtables/matchLocalTraffic.js';
import type { IpAddress, IpFamily } from '../../../net/ip.js';

export interface RuleSettings {
  readonly family: IpFamily;
  /** The mark of packets to masquerade: one bit. */
  readonly masqueradeMark: number;
  /** Masquerade all traffic to cluster IPs. */
  readonly masqueradeAll: boolean;
  /** Undefined: pods cannot be told from others, and nothing that needs it is written. */
  readonly localTraffic: LocalTrafficMatch | undefined;
  /** Node ports answer on 127.0.0.0/8. Always false for IPv6. */
  readonly localhostNodePorts: boolean;
  /** Addresses that node ports answer on; `all`: every address of the node. */
  readonly nodePortAddresses: 'all' | readonly IpAddress[];
  /** MASQUERADE takes --random-fully. */
  readonly randomFully: boolean;
  /** The kernel accepts out-of-window TCP (nf_conntrack_tcp_be_liberal): INVALID packets are then not dropped. */
  readonly conntrackLiberal: boolean;
  /** The nfacct objects of nfacctNames exist. */
  readonly accounting: boolean;
}

/** Counters that rules refer to by name; kube-proxy's metrics of the same meaning read them. */
export const NFACCT_INVALID_DROPPED = 'ct_state_invalid_dropped_pkts';
export const NFACCT_LOCALHOST_NODE_PORTS = 'localhost_nps_accepted_pkts';

/** `0x00004000` */
export function markText(settings: RuleSettings): string {
  return `0x${settings.masqueradeMark.toString(16).padStart(8, '0')}`;
}

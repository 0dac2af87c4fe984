/** Chains of mode ipvs and the jumps to them. Names, comments and order are kube-proxy's, but for those of our own. */

export type Table = 'nat' | 'filter' | 'mangle';

export const SERVICES = 'KUBE-SERVICES';
export const POSTROUTING = 'KUBE-POSTROUTING';
export const NODE_PORT = 'KUBE-NODE-PORT';
export const LOAD_BALANCER = 'KUBE-LOAD-BALANCER';
export const MARK_MASQ = 'KUBE-MARK-MASQ';
export const FORWARD = 'KUBE-FORWARD';
export const PROXY_FIREWALL = 'KUBE-PROXY-FIREWALL';
export const SOURCE_RANGES = 'KUBE-SOURCE-RANGES-FIREWALL';
export const IPVS_FILTER = 'KUBE-IPVS-FILTER';
export const OUT_FILTER = 'KUBE-IPVS-OUT-FILTER';
/** Ours: what happens to a new connection before IPVS sees it. */
export const POLICY = 'PENSTOCK-POLICY';
export const CLUSTER_CLIENTS = 'PENSTOCK-CLUSTER-CLIENTS';
export const OWN_SOURCE_RANGES = 'PENSTOCK-SOURCE-RANGES';

/** In the order in which they are declared; who is referred to by others comes later. */
export const CHAINS: Readonly<Record<Table, readonly string[]>> = {
  nat: [SERVICES, POSTROUTING, NODE_PORT, LOAD_BALANCER, MARK_MASQ],
  filter: [FORWARD, NODE_PORT, PROXY_FIREWALL, SOURCE_RANGES, IPVS_FILTER, OUT_FILTER],
  mangle: [POLICY, CLUSTER_CLIENTS, OWN_SOURCE_RANGES],
};

export const TABLES: readonly Table[] = ['nat', 'filter', 'mangle'];

export interface Jump {
  readonly table: Table;
  readonly from: string;
  readonly to: string;
  /** The rule without `-A chain`, in the spelling that iptables-save prints. */
  readonly rule: string;
}

function jump(table: Table, from: string, comment: string, to: string, match = ''): Jump {
  return { table, from, to, rule: `-m comment --comment "${comment}" ${match}-j ${to}` };
}

const NEW = '-m conntrack --ctstate NEW ';

/** Each is inserted at the head of its chain, in this order, where it is missing. */
export const JUMPS: readonly Jump[] = [
  jump('nat', 'OUTPUT', 'kubernetes service portals', SERVICES),
  jump('nat', 'PREROUTING', 'kubernetes service portals', SERVICES),
  jump('nat', 'POSTROUTING', 'kubernetes postrouting rules', POSTROUTING),
  jump('filter', 'FORWARD', 'kubernetes forwarding rules', FORWARD),
  jump('filter', 'INPUT', 'kubernetes health check rules', NODE_PORT),
  jump('filter', 'INPUT', 'kube-proxy firewall rules', PROXY_FIREWALL),
  jump('filter', 'FORWARD', 'kube-proxy firewall rules', PROXY_FIREWALL),
  jump('filter', 'INPUT', 'kubernetes ipvs access filter', IPVS_FILTER),
  jump('filter', 'OUTPUT', 'kubernetes ipvs access filter', OUT_FILTER),
  jump('mangle', 'INPUT', 'penstock traffic policies', POLICY, NEW),
  jump('mangle', 'OUTPUT', 'penstock traffic policies', POLICY, NEW),
];

/** Chains that mode iptables has too, by the same names. */
export const SHARED: Readonly<Record<Table, readonly string[]>> = {
  nat: [SERVICES, POSTROUTING, MARK_MASQ],
  filter: [FORWARD, PROXY_FIREWALL],
  mangle: [],
};

/** Jumps that mode iptables has too, word for word. */
export const SHARED_JUMPS_TO: readonly string[] = [SERVICES, POSTROUTING, FORWARD];

/** A chain that only mode iptables has. */
export function isOfModeIptables(table: Table, chain: string): boolean {
  return table === 'nat'
    ? /^KUBE-(SVC|SVL|SEP|EXT|FW)-|^KUBE-NODEPORTS$/.test(chain)
    : table === 'filter' && /^KUBE-(EXTERNAL-SERVICES|NODEPORTS)$/.test(chain);
}

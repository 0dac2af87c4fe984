/**
 * Names of chains and their permanent jumps, exactly as kube-proxy's, so that every guide and tool applies and either
 * can take over from the other.
 */
import { hash } from 'node:crypto';

export type Table = 'filter' | 'nat' | 'mangle';

export const SERVICES = 'KUBE-SERVICES';
export const EXTERNAL_SERVICES = 'KUBE-EXTERNAL-SERVICES';
export const NODE_PORTS = 'KUBE-NODEPORTS';
export const PROXY_FIREWALL = 'KUBE-PROXY-FIREWALL';
export const FORWARD = 'KUBE-FORWARD';
export const POSTROUTING = 'KUBE-POSTROUTING';
export const MARK_MASQ = 'KUBE-MARK-MASQ';
/** Shared with kubelet, which makes the same chain with the same rule: never flushed. */
export const FIREWALL = 'KUBE-FIREWALL';
/** Holds nothing. Its absence tells that somebody flushed the tables. */
export const CANARY = 'KUBE-PROXY-CANARY';

/**
 * Prefixes of the chains that belong to one service port or endpoint. All are in table nat. Chains that lead to others
 * come before these.
 */
export const OWNED_PREFIXES = ['KUBE-FW-', 'KUBE-EXT-', 'KUBE-SVC-', 'KUBE-SVL-', 'KUBE-SEP-'] as const;

export type OwnedPrefix = (typeof OWNED_PREFIXES)[number];

/** The owned chains among the names, in an order in which nothing refers to a chain when it is removed. */
export function ownedInRemovalOrder(names: readonly string[]): string[] {
  return OWNED_PREFIXES.flatMap((prefix) => names.filter((name) => name.startsWith(prefix)));
}

/** Where rules are tried (findRefused.ts), in filter and nat. Nothing leads to it; an agent that ends meanwhile leaves it. */
export const PROBE = 'KUBE-PENSTOCK-PROBE';

/** Chains that penstock declares, and so rewrites whole, in a full sync. */
export const FILTER_CHAINS = [SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL] as const;
export const NAT_CHAINS = [SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ] as const;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** Two characters for each value of ten bits. */
const PAIRS = Array.from({ length: 1024 }, (_, i) => `${ALPHABET[i >> 5]}${ALPHABET[i & 31]}`);

/** The first 16 characters of the base32 form (RFC 4648) of SHA-256, that is its first 80 bits. */
export function hash16(text: string): string {
  const digest = hash('sha256', text, 'binary');
  return fiveBytes(digest, 0) + fiveBytes(digest, 5);
}

/** Five bytes of a binary string as eight characters. */
function fiveBytes(bytes: string, at: number): string {
  const high =
    (bytes.charCodeAt(at) << 12) | (bytes.charCodeAt(at + 1) << 4) | (bytes.charCodeAt(at + 2) >> 4);
  const low =
    ((bytes.charCodeAt(at + 2) & 15) << 16) | (bytes.charCodeAt(at + 3) << 8) | bytes.charCodeAt(at + 4);
  return `${PAIRS[high >> 10]}${PAIRS[high & 1023]}${PAIRS[low >> 10]}${PAIRS[low & 1023]}`;
}

export interface Jump {
  readonly table: 'filter' | 'nat';
  readonly from: string;
  readonly to: string;
  /** The rule without `-A chain`, in the spelling that iptables-save prints. */
  readonly rule: string;
}

const NEW = '-m conntrack --ctstate NEW ';

function jump(table: 'filter' | 'nat', from: string, match: string, comment: string, to: string): Jump {
  const text = comment === '' ? '' : `-m comment --comment "${comment}" `;
  return { table, from, to, rule: `${match}${text}-j ${to}` };
}

/** Each is inserted at the head of its chain, in this order, where it is missing. */
export const JUMPS: readonly Jump[] = [
  jump('filter', 'INPUT', NEW, 'kubernetes externally-visible service portals', EXTERNAL_SERVICES),
  jump('filter', 'FORWARD', NEW, 'kubernetes externally-visible service portals', EXTERNAL_SERVICES),
  jump('filter', 'INPUT', '', 'kubernetes health check service ports', NODE_PORTS),
  jump('filter', 'FORWARD', NEW, 'kubernetes service portals', SERVICES),
  jump('filter', 'OUTPUT', NEW, 'kubernetes service portals', SERVICES),
  jump('filter', 'FORWARD', '', 'kubernetes forwarding rules', FORWARD),
  jump('filter', 'INPUT', NEW, 'kubernetes load balancer firewall', PROXY_FIREWALL),
  jump('filter', 'OUTPUT', NEW, 'kubernetes load balancer firewall', PROXY_FIREWALL),
  jump('filter', 'FORWARD', NEW, 'kubernetes load balancer firewall', PROXY_FIREWALL),
  jump('nat', 'OUTPUT', '', 'kubernetes service portals', SERVICES),
  jump('nat', 'PREROUTING', '', 'kubernetes service portals', SERVICES),
  jump('nat', 'POSTROUTING', '', 'kubernetes postrouting rules', POSTROUTING),
  jump('filter', 'INPUT', '', '', FIREWALL),
  jump('filter', 'OUTPUT', '', '', FIREWALL),
];

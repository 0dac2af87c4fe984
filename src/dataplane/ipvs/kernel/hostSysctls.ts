/** Kernel parameters that mode ipvs needs, by the version of the kernel. */

export interface WantedSysctl {
  /** `net/ipv4/vs/conntrack` */
  readonly name: string;
  readonly value: string;
}

export interface SysctlPlan {
  readonly wanted: readonly WantedSysctl[];
  /** What was decided by the kernel's version, and why. */
  readonly notes: readonly string[];
}

const VS = 'net/ipv4/vs';

/** `release` as uname prints it: `6.1.0-18-amd64`. */
export function hostSysctls(release: string, strictARP: boolean): SysctlPlan {
  const reuse = connReuseMode(release);
  const arp = strictARP
    ? [
        { name: 'net/ipv4/conf/all/arp_ignore', value: '1' },
        { name: 'net/ipv4/conf/all/arp_announce', value: '2' },
      ]
    : [];
  return {
    wanted: [
      // Masquerading needs connection tracking.
      { name: `${VS}/conntrack`, value: '1' },
      ...reuse.wanted,
      // A connection whose real server was deleted ends with its next packet, instead of going nowhere.
      { name: `${VS}/expire_nodest_conn`, value: '1' },
      // Session affinity does not bind a client to a real server that takes no new connections.
      { name: `${VS}/expire_quiescent_template`, value: '1' },
      { name: 'net/ipv4/ip_forward', value: '1' },
      ...arp,
    ],
    notes: [reuse.note],
  };
}

/**
 * With 1, a client that uses a port again soon gets a real server chosen anew. Kernels before 5.9 do that by dropping
 * its first packet (until "ipvs: allow connection reuse for unconfirmed conntrack"), which takes the client a second;
 * kernels before 4.1 do not have the parameter.
 */
function connReuseMode(release: string): { readonly wanted: readonly WantedSysctl[]; readonly note: string } {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const version = major * 1000 + minor;
  const name = `${VS}/conn_reuse_mode`;
  const text = `net.ipv4.vs.conn_reuse_mode`;
  if (version >= 5009) {
    return {
      wanted: [],
      note: `${text} is left as it is: kernel ${release} chooses a real server anew without delay`,
    };
  }
  if (version < 4001) {
    const note = `kernel ${release} has no ${text}: a client that uses a port again soon stays with its real server, also while that is drained`;
    return { wanted: [], note };
  }
  return {
    wanted: [{ name, value: '0' }],
    note: `${text} is 0: kernel ${release} would delay a client that uses a port again soon by a second; it stays with its real server instead`,
  };
}

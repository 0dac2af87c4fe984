/**
 * The sets of mode ipvs: names, types and comments exactly as kube-proxy's, so that every guide and tool applies and
 * either can take over from the other. Beside them a few of our own, for what kube-proxy does not do.
 */
import type { SetSpec, SetType } from '../../../kernel/ipset/SetSpec.js';
import type { IpFamily } from '../../../net/ip.js';

interface SetDescription {
  readonly type: SetType;
  /** kube-proxy's comment on rules that look the set up. '' for our own sets. */
  readonly comment: string;
  readonly extension?: 'mark';
}

const set = (type: SetType, comment = ''): SetDescription => ({ type, comment });

const EXTERNAL_IP = 'Kubernetes service external ip + port';
const LOAD_BALANCER = 'Kubernetes service load balancer ip + port';
const LOCAL = 'with externalTrafficPolicy=local';
const HASH = "with type 'hash ip:port'";

export const SETS = {
  'KUBE-LOOP-BACK': set(
    'hash:ip,port,ip',
    'Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose',
  ),
  'KUBE-CLUSTER-IP': set('hash:ip,port', 'Kubernetes service cluster ip + port for masquerade purpose'),
  'KUBE-EXTERNAL-IP': set('hash:ip,port', `${EXTERNAL_IP} for masquerade and filter purpose`),
  'KUBE-EXTERNAL-IP-LOCAL': set('hash:ip,port', `${EXTERNAL_IP} ${LOCAL}`),
  'KUBE-LOAD-BALANCER': set('hash:ip,port', 'Kubernetes service lb portal'),
  'KUBE-LOAD-BALANCER-FW': set('hash:ip,port', `${LOAD_BALANCER} for load balancer with sourceRange`),
  'KUBE-LOAD-BALANCER-LOCAL': set('hash:ip,port', `${LOAD_BALANCER} ${LOCAL}`),
  'KUBE-LOAD-BALANCER-SOURCE-IP': set(
    'hash:ip,port,ip',
    `${LOAD_BALANCER} + source IP for packet filter purpose`,
  ),
  'KUBE-LOAD-BALANCER-SOURCE-CIDR': set(
    'hash:ip,port,net',
    `${LOAD_BALANCER} + source cidr for packet filter purpose`,
  ),
  'KUBE-NODE-PORT-TCP': set('bitmap:port', 'Kubernetes nodeport TCP port for masquerade purpose'),
  'KUBE-NODE-PORT-LOCAL-TCP': set('bitmap:port', `Kubernetes nodeport TCP port ${LOCAL}`),
  'KUBE-NODE-PORT-UDP': set('bitmap:port', 'Kubernetes nodeport UDP port for masquerade purpose'),
  'KUBE-NODE-PORT-LOCAL-UDP': set('bitmap:port', `Kubernetes nodeport UDP port ${LOCAL}`),
  'KUBE-NODE-PORT-SCTP-HASH': set(
    'hash:ip,port',
    `Kubernetes nodeport SCTP port for masquerade purpose ${HASH}`,
  ),
  'KUBE-NODE-PORT-LOCAL-SCTP-HASH': set('hash:ip,port', `Kubernetes nodeport SCTP port ${LOCAL} ${HASH}`),
  'KUBE-HEALTH-CHECK-NODE-PORT': set('bitmap:port', 'Kubernetes health check node port'),
  'KUBE-IPVS-IPS': set('hash:ip'),
  /** The virtual servers that are ours. Any other is somebody else's, and never touched. */
  'PENSTOCK-SERVERS': set('hash:ip,port'),
  /** Node ports that no endpoint serves: refused on loopback, where IPVS does not see who asks for them. */
  'PENSTOCK-REFUSED-TCP': set('bitmap:port'),
  'PENSTOCK-REFUSED-UDP': set('bitmap:port'),
  /** VIPs and node ports whose traffic from outside has no endpoint on this node (policy Local): dropped. */
  'PENSTOCK-DROP': set('hash:ip,port'),
  /**
   * VIPs and node ports under external policy Local, where clients in the cluster may go to endpoints anywhere: the
   * mark that sends them to a virtual server of their own.
   */
  'PENSTOCK-CLUSTER-CLIENTS': { ...set('hash:ip,port'), extension: 'mark' },
} as const satisfies Record<string, SetDescription>;

/** The IPv4 name, which stands for the set in both families. */
export type SetName = keyof typeof SETS;

export const SET_NAMES = Object.keys(SETS) as readonly SetName[];

/** IPSET_MAXNAMELEN is 32, with the final NUL. */
const LONGEST_NAME = 31;

/** The name in the kernel: `KUBE-CLUSTER-IP`, `KUBE-6-CLUSTER-IP`. kube-proxy cuts long ones just so. */
export function kernelName(name: SetName, family: IpFamily): string {
  return family === 'IPv4' ? name : name.replace('-', '-6-').slice(0, LONGEST_NAME);
}

/** The set of that family as the kernel knows it. */
export function setSpec(name: SetName, family: IpFamily): SetSpec {
  const { type, extension }: SetDescription = SETS[name];
  const spec = { name: kernelName(name, family), type, family };
  return extension === undefined ? spec : { ...spec, extension };
}

export const LOCALHOST_REFUSED = {
  TCP: 'PENSTOCK-REFUSED-TCP',
  UDP: 'PENSTOCK-REFUSED-UDP',
} as const satisfies Record<string, SetName>;

export const NODE_PORT_SETS = {
  TCP: { all: 'KUBE-NODE-PORT-TCP', local: 'KUBE-NODE-PORT-LOCAL-TCP' },
  UDP: { all: 'KUBE-NODE-PORT-UDP', local: 'KUBE-NODE-PORT-LOCAL-UDP' },
  SCTP: { all: 'KUBE-NODE-PORT-SCTP-HASH', local: 'KUBE-NODE-PORT-LOCAL-SCTP-HASH' },
} as const satisfies Record<string, Record<'all' | 'local', SetName>>;

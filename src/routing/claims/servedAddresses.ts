/** Which of the addresses that a port of a Service asks for it gets, and who has the others. */
import type { IpAddress } from '../../net/ip.js';
import type { ServicePortSpec } from '../../objects/Service.js';
import type { ClusterIPs } from './ClusterIPs.js';
import { comesBefore, RANK, type Rank, VipClaims } from './VipClaims.js';
import type { WantedVips } from './wantedVips.js';

export interface Claim {
  readonly key: string;
  readonly rank: Rank;
}

export interface ServedAddresses {
  readonly clusterIP: IpAddress | undefined;
  /** 0: none, or another Service has it. */
  readonly nodePort: number;
  readonly externalIPs: readonly IpAddress[];
  readonly loadBalancerIPs: readonly IpAddress[];
  readonly losses: readonly Loss[];
}

/** An address and port that somebody else has. */
export interface Loss {
  readonly claim: string;
  /** The key of VipClaims whose owner has it; undefined: the Service that has the address as its cluster IP. */
  readonly key: string | undefined;
  readonly address: IpAddress | undefined;
}

const NO_LOSSES: readonly Loss[] = [];

/** Every key that the port claims. */
export function claimsOf(wanted: WantedVips, port: ServicePortSpec): readonly Claim[] {
  const claims: Claim[] = [];
  const claimVip = (ip: IpAddress, rank: Rank) =>
    claims.push({ key: VipClaims.vipKey(ip, port.protocol, port.port), rank });
  if (wanted.clusterIP !== undefined) claimVip(wanted.clusterIP, RANK.clusterIP);
  for (const ip of wanted.loadBalancerIPs) claimVip(ip, RANK.assigned);
  if (port.nodePort !== 0)
    claims.push({ key: VipClaims.nodePortKey(port.protocol, port.nodePort), rank: RANK.assigned });
  for (const ip of wanted.externalIPs) claimVip(ip, RANK.externalIP);
  return claims;
}

/**
 * The node port that the VIPs of the port compete with; undefined when none of them is an address of this node. Packets to
 * the one are packets to the other.
 */
export function rivalNodePort(
  wanted: WantedVips,
  port: ServicePortSpec,
  own: ReadonlySet<IpAddress>,
): string | undefined {
  const isOwn = (ip: IpAddress) => own.has(ip);
  return wanted.loadBalancerIPs.some(isOwn) || wanted.externalIPs.some(isOwn)
    ? VipClaims.nodePortKey(port.protocol, port.port)
    : undefined;
}

export interface ClaimingPort {
  /** `namespace/name` */
  readonly service: string;
  readonly created: number | undefined;
  readonly portIndex: number;
  readonly port: ServicePortSpec;
}

/** After all claims were made. */
export function servedAddresses(
  wanted: WantedVips,
  { service, created, portIndex, port }: ClaimingPort,
  own: ReadonlySet<IpAddress>,
  claims: VipClaims,
  clusterIPs: ClusterIPs,
): ServedAddresses {
  const losses: Loss[] = [];
  const owns = (key: string) => {
    const owner = claims.owner(key);
    return owner?.service === service && owner.portIndex === portIndex;
  };
  const lose = (claim: string, key: string | undefined, address?: IpAddress) => {
    losses.push({ claim, key, address });
    return false;
  };
  const getsVip = (rank: Rank) => (ip: IpAddress) => {
    const key = VipClaims.vipKey(ip, port.protocol, port.port);
    if (!owns(key)) return lose(key, key);
    if (clusterIPs.heldByOther(ip, service)) return lose(key, undefined, ip);
    if (!own.has(ip)) return true;
    const rivalKey = VipClaims.nodePortKey(port.protocol, port.port);
    const rival = claims.owner(rivalKey);
    const mayHaveIt =
      rival === undefined || owns(rivalKey) || comesBefore({ service, rank, created, portIndex }, rival);
    return mayHaveIt || lose(key, rivalKey);
  };
  const vipKey = wanted.clusterIP && VipClaims.vipKey(wanted.clusterIP, port.protocol, port.port);
  const hasClusterIP = vipKey !== undefined && (owns(vipKey) || lose(vipKey, vipKey));
  const nodePortKey = VipClaims.nodePortKey(port.protocol, port.nodePort);
  const hasNodePort = port.nodePort !== 0 && (owns(nodePortKey) || lose(nodePortKey, nodePortKey));
  const loadBalancerIPs = kept(wanted.loadBalancerIPs, getsVip(RANK.assigned));
  const externalIPs = kept(wanted.externalIPs, getsVip(RANK.externalIP));
  return {
    clusterIP: hasClusterIP ? wanted.clusterIP : undefined,
    nodePort: hasNodePort ? port.nodePort : 0,
    loadBalancerIPs,
    externalIPs,
    losses: losses.length === 0 ? NO_LOSSES : losses,
  };
}

/** The list itself when nothing is left out: most Services need no second one. */
function kept<T>(list: readonly T[], test: (item: T) => boolean): readonly T[] {
  const left = list.filter(test);
  return left.length === list.length ? list : left;
}

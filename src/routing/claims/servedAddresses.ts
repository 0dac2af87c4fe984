/** Which of the addresses that a port of a Service asks for it gets, and who has the others. */
import type { IpAddress } from '../../net/ip.js';
import { exact } from '../../objects/intern.js';
import type { Service, ServicePortSpec } from '../../objects/Service.js';
import type { ClusterIPs } from './ClusterIPs.js';
import { type Claimant, comesBefore, RANK, type Rank, VipClaims } from './VipClaims.js';
import type { WantedVips } from './wantedVips.js';

export interface Claim extends Claimant {
  readonly key: string;
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
const NO_KEYS: readonly string[] = [];

/** Everything that the ports of the Service claim. `service`: `namespace/name`. */
export function claimsOf(wanted: WantedVips, service: string, { created, ports }: Service): readonly Claim[] {
  const claims: Claim[] = [];
  const { clusterIP, loadBalancerIPs, externalIPs } = wanted;
  ports.forEach(({ protocol, port, nodePort }, portIndex) => {
    const claim = (key: string, rank: Rank) => claims.push({ key, service, rank, created, portIndex });
    if (clusterIP !== undefined) claim(VipClaims.vipKey(clusterIP, protocol, port), RANK.clusterIP);
    for (const ip of loadBalancerIPs) claim(VipClaims.vipKey(ip, protocol, port), RANK.assigned);
    if (nodePort !== 0) claim(VipClaims.nodePortKey(protocol, nodePort), RANK.assigned);
    for (const ip of externalIPs) claim(VipClaims.vipKey(ip, protocol, port), RANK.externalIP);
  });
  return exact(claims);
}

/**
 * The node ports that the VIPs of a Service compete with; none when no VIP is an address of this node. Packets to the one are
 * packets to the other.
 */
export function rivalNodePorts(
  wanted: WantedVips,
  ports: readonly ServicePortSpec[],
  own: ReadonlySet<IpAddress>,
): readonly string[] {
  const isOwn = (ip: IpAddress) => own.has(ip);
  if (!wanted.loadBalancerIPs.some(isOwn) && !wanted.externalIPs.some(isOwn)) return NO_KEYS;
  return ports.map(({ protocol, port }) => VipClaims.nodePortKey(protocol, port));
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
  asker: ClaimingPort,
  own: ReadonlySet<IpAddress>,
  claims: VipClaims,
  clusterIPs: ClusterIPs,
): ServedAddresses {
  const losses: Loss[] = [];
  const { protocol, port, nodePort } = asker.port;
  let clusterIP = wanted.clusterIP;
  if (clusterIP !== undefined) {
    const key = VipClaims.vipKey(clusterIP, protocol, port);
    if (!owns(claims, key, asker)) {
      losses.push({ claim: key, key, address: undefined });
      clusterIP = undefined;
    }
  }
  let served = nodePort;
  if (nodePort !== 0) {
    const key = VipClaims.nodePortKey(protocol, nodePort);
    if (!owns(claims, key, asker)) {
      losses.push({ claim: key, key, address: undefined });
      served = 0;
    }
  }
  const get = (list: readonly IpAddress[], rank: Rank): readonly IpAddress[] => {
    // Most Services need no second list.
    const left = list.filter((ip) => {
      const loss = lossOf(ip, rank, asker, own, claims, clusterIPs);
      if (loss !== undefined) losses.push(loss);
      return loss === undefined;
    });
    return left.length === list.length ? list : left;
  };
  const { loadBalancerIPs, externalIPs } = wanted;
  return {
    clusterIP,
    nodePort: served,
    loadBalancerIPs: loadBalancerIPs.length === 0 ? loadBalancerIPs : get(loadBalancerIPs, RANK.assigned),
    externalIPs: externalIPs.length === 0 ? externalIPs : get(externalIPs, RANK.externalIP),
    losses: losses.length === 0 ? NO_LOSSES : losses,
  };
}

/** Who else has the external or load-balancer IP; undefined: the asker gets it. */
function lossOf(
  ip: IpAddress,
  rank: Rank,
  asker: ClaimingPort,
  own: ReadonlySet<IpAddress>,
  claims: VipClaims,
  clusterIPs: ClusterIPs,
): Loss | undefined {
  const { protocol, port } = asker.port;
  const claim = VipClaims.vipKey(ip, protocol, port);
  if (!owns(claims, claim, asker)) return { claim, key: claim, address: undefined };
  if (clusterIPs.heldByOther(ip, asker.service)) return { claim, key: undefined, address: ip };
  if (!own.has(ip)) return undefined;
  const key = VipClaims.nodePortKey(protocol, port);
  const rival = claims.owner(key);
  const mayHaveIt = rival === undefined || owns(claims, key, asker) || comesBefore({ ...asker, rank }, rival);
  return mayHaveIt ? undefined : { claim, key, address: undefined };
}

function owns(claims: VipClaims, key: string, { service, portIndex }: ClaimingPort): boolean {
  const owner = claims.owner(key);
  return owner?.service === service && owner.portIndex === portIndex;
}

/** How the load balancer stands on this node, as values: for `penstock lb`, metrics and the admin socket. Pure. */
import type { AnnounceStatus } from '../../kernel/addon/NativeResponder.js';
import type { IpAddress } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Problem } from '../../objects/Problem.js';
import { type AddressPool, poolHas, poolSize } from '../addresses/AddressPool.js';
import type { Election, Liveness } from '../layer2/election.js';
import type { Announced } from '../layer2/Layer2.js';
import type { MembershipView } from '../membership/Member.js';
import type { PeerReport } from './BgpPeers.js';
import type { LanInterface, OwnNode } from './OwnNode.js';
import type { AnnouncePlan, PlannedAddress } from './planAnnouncing.js';
import type { TierState } from './TierWriter.js';

export interface AddressReport {
  readonly address: IpAddress;
  readonly services: readonly string[];
  readonly pool: string | undefined;
  readonly layer2: readonly string[];
  readonly bgp: readonly string[];
  /** By layer 2, as this node sees it; undefined: nobody. */
  readonly owner: string | undefined;
  /** Candidates in their order. */
  readonly order: readonly string[];
  /** This node's own claims. */
  readonly here: readonly {
    readonly device: string;
    readonly state: string;
    /** Who was heard to have it. */
    readonly heardPeer: string | undefined;
    /** Hardware address of a stranger that has it. */
    readonly conflict: string | undefined;
  }[];
  /** Services that want it and may not have it. */
  readonly refusals: PlannedAddress['refusals'];
  /** Why it is not announced, or not from here. */
  readonly reasons: readonly string[];
}

export interface AnnouncerReport {
  readonly node: string;
  /** Why this node announces nothing; undefined: it may. */
  readonly excluded: string | undefined;
  readonly interfaces: readonly {
    readonly name: string;
    readonly isUp: boolean;
    readonly networks: readonly string[];
  }[];
  /** Whether the view of the other nodes is kept up to date. */
  readonly connected: boolean;
  readonly members: readonly {
    readonly name: string;
    readonly address: IpAddress | undefined;
    readonly fresh: boolean;
    /** It says that it hears none of the others. */
    readonly deaf: boolean;
    readonly heartbeat: string;
  }[];
  readonly addresses: readonly AddressReport[];
  readonly pools: readonly {
    readonly pool: string;
    /** A number as text: IPv6 has more than a number holds. */
    readonly size: string;
    readonly used: number;
    readonly autoAssign: boolean;
  }[];
  readonly peers: readonly PeerReport[];
  /** Undefined: not asked for. */
  readonly tiers: TierState | undefined;
  readonly counters: Omit<AnnounceStatus, 'peers' | 'deaf'>;
  readonly problems: readonly Problem[];
}

export interface ReportInput {
  readonly own: OwnNode;
  readonly lans: readonly LanInterface[];
  readonly view: MembershipView;
  readonly liveness: Liveness;
  readonly plan: AnnouncePlan;
  readonly pools: readonly AddressPool[];
  readonly announced: readonly Announced[];
  readonly elections: ReadonlyMap<IpAddress, Election>;
  readonly counters: AnnounceStatus;
  readonly peers: readonly PeerReport[];
  readonly tiers: TierState | undefined;
  readonly problems: readonly Problem[];
}

export function reportOf(input: ReportInput): AnnouncerReport {
  const { own, lans, view, liveness, plan, pools, announced, elections } = input;
  const { peers: _peers, deaf: _deaf, ...counters } = input.counters;
  const deviceOf = (index: number) => lans.find((lan) => lan.index === index)?.name ?? String(index);
  const claims = new Map<IpAddress, Announced[]>();
  for (const claim of announced) claims.set(claim.address, [...(claims.get(claim.address) ?? []), claim]);
  return {
    node: own.name,
    excluded: own.excluded,
    interfaces: lans.map(({ name, isUp, networks }) => ({ name, isUp, networks })),
    connected: view.connected,
    members: [...view.members.values()].map(({ name, address, fresh, deaf = false }) => ({
      name,
      address,
      fresh,
      deaf,
      heartbeat: name === own.name ? 'itself' : (liveness.get(name) ?? 'not heard'),
    })),
    addresses: plan.addresses.map(({ address, services, pool, layer2, bgp, refusals, reasons }) => {
      const election = elections.get(address);
      return {
        address,
        services,
        pool,
        layer2,
        bgp,
        owner: election?.owner,
        order: election?.order ?? [],
        here: (claims.get(address) ?? []).map(({ interface: index, state, heardPeer, conflict }) => ({
          device: deviceOf(index),
          state,
          heardPeer,
          conflict,
        })),
        refusals,
        reasons: reasons(),
      };
    }),
    pools: pools.map((pool) => ({
      pool: objectPath(pool),
      size: String(poolSize(pool)),
      used: plan.addresses.filter(({ address }) => poolHas(pool, address)).length,
      autoAssign: pool.autoAssign,
    })),
    peers: input.peers,
    tiers: input.tiers,
    counters,
    problems: input.problems,
  };
}

/** The nodes that may announce, as this node knows them. */
import type { Cidr, IpAddress } from '../../net/ip.js';

/** `any network`: the advertisement names interfaces, so the address need be in none of the node's networks. */
export const ADVERTISING_ROLES = [
  'candidate',
  'preferred',
  'candidate, any network',
  'preferred, any network',
] as const;

export type AdvertisingRole = (typeof ADVERTISING_ROLES)[number];

export interface Member {
  readonly name: string;
  /** Where its heartbeats come from; undefined: it sends none. */
  readonly address: IpAddress | undefined;
  /** All of its addresses on LANs, where tier 1 sends packets to; absent: `address` alone. */
  readonly addresses?: readonly IpAddress[];
  /**
   * Whether its Lease runs. A member whose Lease has run out is no candidate, but still no stranger on the wire: it may answer
   * until it hears its successor.
   */
  readonly fresh: boolean;
  /** By its own words it hears none of the others: it answers nobody either, so it comes last. Absent: it hears some, or cannot tell. */
  readonly deaf?: true;
  /** Hardware addresses of its interfaces on the LANs, 6 bytes each; empty: those that its heartbeats name. */
  readonly macs: readonly Uint8Array[];
  /** Of its interfaces on the LANs; empty: it does not say, and may have any. */
  readonly subnets: readonly Cidr[];
  /** Advertisements that it may announce for; `preferred`: before the others. Undefined: for all. */
  readonly advertises: ReadonlyMap<string, AdvertisingRole> | undefined;
}

/** How a node stands in the election. */
export interface MembershipView {
  /** This node among them when it is one. By name. */
  readonly members: ReadonlyMap<string, Member>;
  /**
   * Whether the view is kept up to date. When not, it is frozen: nobody leaves it and nobody comes, and this node claims nothing
   * that anybody may have.
   */
  readonly connected: boolean;
}

/** As JSON can say it: two members of equal text are equal. */
export function plainMember({ macs, advertises, ...rest }: Member): object {
  return {
    ...rest,
    macs: macs.map((mac) => Buffer.from(mac).toString('hex')),
    advertises: advertises && [...advertises],
  };
}

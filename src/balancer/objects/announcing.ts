/** The objects that say how addresses are announced, as MetalLB has them, and the same kinds of group penstock.io. */
import type { IpAddress } from '../../net/ip.js';
import type { LabelSelector } from './LabelSelector.js';

interface Named {
  /** '' for objects of the cluster. */
  readonly namespace: string;
  readonly name: string;
}

/** Which pools; no name and no selector: all of them. */
export interface PoolChoice {
  readonly pools: readonly string[];
  readonly poolSelectors: readonly LabelSelector[];
}

export interface L2Advertisement extends Named, PoolChoice {
  readonly kind: 'L2Advertisement';
  /** None: every node. */
  readonly nodeSelectors: readonly LabelSelector[];
  /** Nodes that come first, where they are candidates. */
  readonly preferredNodeSelectors: readonly LabelSelector[];
  /** None: every Service. */
  readonly serviceSelectors: readonly LabelSelector[];
  /** None: every interface on the network of the address. */
  readonly interfaces: readonly string[];
}

export interface BgpAdvertisement extends Named, PoolChoice {
  readonly kind: 'BGPAdvertisement';
  readonly nodeSelectors: readonly LabelSelector[];
  readonly serviceSelectors: readonly LabelSelector[];
  /** Bits of the prefix that is announced. */
  readonly aggregationLength: Readonly<Record<'IPv4' | 'IPv6', number>>;
  /** undefined: the attribute is left out. */
  readonly localPref: number | undefined;
  /** As written: `65000:1`, `large:65000:1:2`, or a name of a Community. */
  readonly communities: readonly string[];
  /** Names of BGPPeers; none: all. */
  readonly peers: readonly string[];
}

export interface BgpPeer extends Named {
  readonly kind: 'BGPPeer';
  readonly myAsn: number;
  /** A number, or only whether it is the own one. */
  readonly peerAsn: number | 'internal' | 'external';
  readonly address: IpAddress;
  readonly port: number;
  readonly sourceAddress: IpAddress | undefined;
  readonly routerId: IpAddress | undefined;
  /** Seconds; 0: the session never times out. */
  readonly holdTime: number;
  /** Seconds; undefined: a third of the hold time in force. */
  readonly keepaliveTime: number | undefined;
  /** Seconds between tries; undefined: 1 doubling to 60. */
  readonly connectTime: number | undefined;
  readonly nodeSelectors: readonly LabelSelector[];
  /** MD5 (RFC 2385); '' for none. */
  readonly password: string;
  /** Name of a Secret with the password; '' for none. */
  readonly passwordSecret: string;
  /** Name of a BFDProfile; '' for none. */
  readonly bfdProfile: string;
  readonly gracefulRestart: boolean;
  readonly multiHop: boolean;
  /** RFC 5082: what comes from further away than this LAN is refused. Of penstock.io only. */
  readonly ttlSecurity: boolean;
}

export interface BfdProfile extends Named {
  readonly kind: 'BFDProfile';
  /** Milliseconds. */
  readonly receiveInterval: number;
  readonly transmitInterval: number;
  readonly detectMultiplier: number;
  /** Waits for the peer to begin. */
  readonly passive: boolean;
  /** Of what comes in; undefined: 255, from this LAN. */
  readonly minimumTtl: number | undefined;
}

export interface Community extends Named {
  readonly kind: 'Community';
  /** Name → value as in BgpAdvertisement.communities. */
  readonly values: ReadonlyMap<string, string>;
}

export type AnnouncingObject = L2Advertisement | BgpAdvertisement | BgpPeer | BfdProfile | Community;
export type AnnouncingKind = AnnouncingObject['kind'];

export const ANNOUNCING_KINDS: readonly AnnouncingKind[] = [
  'L2Advertisement',
  'BGPAdvertisement',
  'BGPPeer',
  'BFDProfile',
  'Community',
];

/** Sets of netfilter's ipset (linux/netfilter/ipset/ip_set.h): their types and what their elements look like. */
import type { IpFamily } from '../../net/ip.js';

/**
 * With an element of each, as `ipset save` prints it and as it is written everywhere here:
 *
 *     hash:ip            10.0.0.1
 *     hash:ip,port       10.0.0.1,tcp:80
 *     hash:ip,port,ip    10.0.0.1,tcp:80,10.0.0.2
 *     hash:ip,port,net   10.0.0.1,tcp:80,10.1.0.0/16     fd00::1,udp:53,fd01::/64
 *     bitmap:port        80
 *
 * Addresses and nets are canonical, and a net of one address is without its prefix length: equal elements are equal
 * texts. The kernel takes no net of all addresses (/0); two halves (/1) are the same.
 */
export type SetType = 'hash:ip' | 'hash:ip,port' | 'hash:ip,port,ip' | 'hash:ip,port,net' | 'bitmap:port';

export interface SetSpec {
  /** 1 to 31 bytes. */
  readonly name: string;
  readonly type: SetType;
  /** Of the addresses; bitmap:port has none and ignores it. */
  readonly family: IpFamily;
  /** Whether elements carry a packet mark, for iptables' `SET --map-mark` (skbinfo). Absent: they do not. */
  readonly extension?: 'mark';
}

/** kube-proxy's, and ipset's own: buckets at first, the kernel adds more; and the most elements. */
export const HASH_SIZE = 1024;
export const MOST_ELEMENTS = 65536;

/** kube-proxy's bitmaps are of all ports. */
export const FIRST_PORT = 0;
export const LAST_PORT = 65535;

/** Of a set in the kernel. */
export interface SetHeader {
  readonly name: string;
  /** Also types that SetType has not. */
  readonly type: string;
  /** Absent for types without addresses. */
  readonly family: IpFamily | undefined;
  readonly elements: number;
  /** How many rules and sets refer to it: it cannot be destroyed while there are any. */
  readonly references: number;
  /** Of hashes; 0 for bitmaps. */
  readonly maxElements: number;
  readonly marks: boolean;
}

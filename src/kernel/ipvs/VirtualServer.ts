/** Virtual servers of the kernel's IPVS (linux/ip_vs.h): what packets they take, and how they choose among their real servers. */
import { type IpAddress, type IpFamily, joinHostPort } from '../../net/ip.js';

export type IpvsProtocol = 'TCP' | 'UDP' | 'SCTP';

/** Packets to one address and port. */
export interface VirtualAddress {
  readonly family: IpFamily;
  readonly protocol: IpvsProtocol;
  readonly address: IpAddress;
  /** 0, with persistence only: every port. */
  readonly port: number;
}

/** Packets with one mark, wherever they go. The kernel looks for these first. */
export interface FirewallMark {
  readonly family: IpFamily;
  /** The whole mark of the packet, not 0. */
  readonly mark: number;
}

/** What tells a virtual server from all others. */
export type VirtualServerId = VirtualAddress | FirewallMark;

/** IP_VS_SVC_F_*. */
export const VirtualServerFlag = {
  /** A client goes to the same real server until `timeoutSeconds` have passed without a connection. */
  PERSISTENT: 0x01,
  /** Set by the kernel; never part of VirtualServerSettings.flags. */
  HASHED: 0x02,
  /** Each datagram is a connection of its own. */
  ONE_PACKET: 0x04,
  /** Schedulers sh and mh: when the chosen real server is not available, another. */
  FALLBACK: 0x08,
  /** Schedulers sh and mh: the client's port counts too. */
  HASH_PORT: 0x10,
} as const;

export interface VirtualServerSettings {
  /** The kernel's name: `rr`, `wlc`; at most 15 characters. Its module is loaded when it is not there. */
  readonly scheduler: string;
  /** VirtualServerFlag bits. */
  readonly flags: number;
  /** Of persistence, seconds; 0 without it. */
  readonly timeoutSeconds: number;
  /** How many leading bits of the client's address count for persistence: 32 and 128 for all of it. */
  readonly netmaskBits: number;
}

export type VirtualServer = VirtualServerId & VirtualServerSettings;

/** What IPVS counted since the virtual or real server was made, at most two seconds late. Exact up to 2^53. */
export interface IpvsCounters {
  readonly connections: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** As the kernel has it. */
export type VirtualServerState = VirtualServer & { readonly counters: IpvsCounters };

/** All bits of an address: what `netmaskBits` is when clients are told apart by their whole address. */
export const FULL_NETMASK: Readonly<Record<IpFamily, number>> = { IPv4: 32, IPv6: 128 };

/** `10.0.0.1:80/TCP`, `[fd00::1]:80/TCP`, `mark 0x70000001 (IPv4)`. Two ids are equal when these texts are. */
export function virtualServerKey(id: VirtualServerId): string {
  if ('mark' in id) return `mark 0x${id.mark.toString(16)} (${id.family})`;
  return `${joinHostPort(id.address, id.port)}/${id.protocol}`;
}

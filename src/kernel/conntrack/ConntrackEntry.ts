/** What the kernel knows of one connection. */
import type { IpAddress, IpFamily } from '../../net/ip.js';

/** One direction of a connection, as its packets look. */
export interface ConntrackTuple {
  readonly family: IpFamily;
  /** IPPROTO_*; of those with ports: 6 TCP, 17 UDP, 132 SCTP. */
  readonly protocol: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface ConntrackEntry {
  /** As the first packet came, before NAT. */
  readonly original: ConntrackTuple;
  /** As answers come: its source is whom NAT sent the connection to. */
  readonly reply: ConntrackTuple;
  /** ConntrackStatus bits. */
  readonly status: number;
  /** Tells this entry from a later one with the same tuples, unless that one got the same piece of memory. */
  readonly id: number;
  /** 0 unless somebody (`CT --zone`, Open vSwitch) keeps connections apart. */
  readonly zone: number;
  /** enum tcp_conntrack of linux/netfilter/nf_conntrack_tcp.h: 1 SYN_SENT, 3 ESTABLISHED. TCP only. */
  readonly tcpState: number | undefined;
  /** Bytes of both directions; undefined where sysctl nf_conntrack_acct was off when the connection began. */
  readonly bytes: number | undefined;
}

/** Whether the destination was rewritten on the way. */
export function isSentOn({ original, reply }: ConntrackEntry): boolean {
  return reply.source !== original.destination || reply.sourcePort !== original.destinationPort;
}

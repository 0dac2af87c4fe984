/** Numbers of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h. */
import { NetfilterSubsystem } from '../netlink/constants.js';
import { netfilterType } from '../netlink/nfnetlink.js';

/** IPCTNL_MSG_CT_*. */
export const MessageType = {
  NEW: netfilterType(NetfilterSubsystem.CONNTRACK, 0),
  GET: netfilterType(NetfilterSubsystem.CONNTRACK, 1),
  DELETE: netfilterType(NetfilterSubsystem.CONNTRACK, 2),
} as const;

/** NFNLGRP_CONNTRACK_DESTROY. */
export const DESTROYED_GROUP = 3;

/** CTA_*. */
export const EntryAttribute = {
  TUPLE_ORIGINAL: 1,
  TUPLE_REPLY: 2,
  STATUS: 3,
  PROTOCOL_INFO: 4,
  COUNTERS_ORIGINAL: 9,
  COUNTERS_REPLY: 10,
  ID: 12,
  ZONE: 18,
  FILTER: 25,
  STATUS_MASK: 26,
} as const;

/** CTA_TUPLE_*. */
export const TupleAttribute = { IP: 1, PROTOCOL: 2, ZONE: 3 } as const;

/** CTA_IP_*. */
export const IpAttribute = { V4_SOURCE: 1, V4_DESTINATION: 2, V6_SOURCE: 3, V6_DESTINATION: 4 } as const;

/** CTA_PROTO_*. */
export const ProtocolAttribute = { NUMBER: 1, SOURCE_PORT: 2, DESTINATION_PORT: 3 } as const;

/** CTA_PROTOINFO_TCP and CTA_PROTOINFO_TCP_STATE inside it. */
export const TCP_INFO = 1;
export const TCP_STATE = 1;

/** CTA_COUNTERS_BYTES. */
export const COUNTED_BYTES = 2;

/** CTA_FILTER_*. */
export const FilterAttribute = { ORIGINAL_FLAGS: 1, REPLY_FLAGS: 2 } as const;

/** CTA_FILTER_F_*: which parts of a tuple a dump must match. In net/netfilter/nf_internals.h only. */
export const FilterFlag = {
  IP_SOURCE: 1 << 0,
  PROTOCOL_NUMBER: 1 << 3,
  PROTOCOL_SOURCE_PORT: 1 << 4,
} as const;

/** IPS_*: bits of ConntrackEntry.status. */
export const ConntrackStatus = {
  /** Packets went both ways. */
  SEEN_REPLY: 1 << 1,
  /** The destination was rewritten. */
  DESTINATION_NAT: 1 << 5,
} as const;

/** enum tcp_conntrack of linux/netfilter/nf_conntrack_tcp.h. */
export const TcpState = { SYN_SENT: 1, ESTABLISHED: 3, TIME_WAIT: 7, CLOSE: 8 } as const;

/** IPPROTO_*. */
export const IpProtocol = { TCP: 6, UDP: 17, SCTP: 132 } as const;

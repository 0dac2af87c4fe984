/** Numbers of linux/netlink.h and linux/netfilter/nfnetlink.h. */

/** NETLINK_*: the families of netlink. */
export const NetlinkProtocol = { ROUTE: 0, SOCK_DIAG: 4, NETFILTER: 12, GENERIC: 16 } as const;

/** NLM_F_*: flags of a message. The meanings of the second group depend on the request. */
export const MessageFlag = {
  REQUEST: 0x01,
  MULTI: 0x02,
  ACK: 0x04,
  ECHO: 0x08,
  DUMP_INTERRUPTED: 0x10,

  // of a GET
  DUMP: 0x300,
  // of a NEW
  REPLACE: 0x100,
  EXCLUSIVE: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  // of a DELETE
  NON_RECURSIVE: 0x100,
  // of an NLMSG_ERROR
  CAPPED: 0x100,
  ACK_ATTRIBUTES: 0x200,
} as const;

/** NLMSG_*: messages of netlink itself, below NLMSG_MIN_TYPE. */
export const ControlType = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

/** NLMSGERR_ATTR_*: attributes of an NLMSG_ERROR or NLMSG_DONE. */
export const ErrorAttribute = { MESSAGE: 1, OFFSET: 2 } as const;

/** struct nlmsghdr, bytes: u32 length, u16 type, u16 flags, u32 sequence, u32 port id. */
export const MESSAGE_HEADER = 16;

/** struct nlattr, bytes: u16 length with this header, u16 type. */
export const ATTRIBUTE_HEADER = 4;

/** NLA_F_NESTED. */
export const NESTED = 0x8000;

/** NLA_TYPE_MASK: the type without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
export const ATTRIBUTE_TYPE_MASK = 0x3fff;

/** The largest attribute, header included: its length is a u16. */
export const MAX_ATTRIBUTE = 0xffff;

/** NFNL_SUBSYS_*: parts of NETLINK_NETFILTER. */
export const NetfilterSubsystem = {
  CONNTRACK: 1,
  QUEUE: 3,
  LOG: 4,
  IPSET: 6,
  ACCT: 7,
  NFTABLES: 10,
} as const;

/** NFNL_MSG_BATCH_*: what brackets a transaction of NETLINK_NETFILTER. */
export const BatchType = { BEGIN: 0x10, END: 0x11 } as const;

/** struct nfgenmsg, bytes: u8 family, u8 version 0, be16 resource id. */
export const NETFILTER_HEADER = 4;

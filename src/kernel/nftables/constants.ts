/** Numbers of linux/netfilter/nf_tables.h and linux/netfilter.h. */
import type { IpFamily } from '../../net/ip.js';
import { NetfilterSubsystem } from '../netlink/constants.js';
import { netfilterType } from '../netlink/nfnetlink.js';

const type = (message: number) => netfilterType(NetfilterSubsystem.NFTABLES, message);

/** NFT_MSG_*. */
export const NftMessage = {
  NEW_TABLE: type(0),
  GET_TABLE: type(1),
  DELETE_TABLE: type(2),
  NEW_CHAIN: type(3),
  GET_CHAIN: type(4),
  DELETE_CHAIN: type(5),
  NEW_RULE: type(6),
  GET_RULE: type(7),
  DELETE_RULE: type(8),
  NEW_SET: type(9),
  GET_SET: type(10),
  DELETE_SET: type(11),
  NEW_ELEMENTS: type(12),
  GET_ELEMENTS: type(13),
  DELETE_ELEMENTS: type(14),
  NEW_GENERATION: type(15),
  TRACE: type(17),
} as const;

/** `netdev`: packets of both families as they come in at an interface, before everything else. */
export type TableFamily = IpFamily | 'netdev';

/** NFPROTO_*: the tables of each family. */
export const FAMILY_NUMBER: Readonly<Record<TableFamily, number>> = { IPv4: 2, IPv6: 10, netdev: 5 };

/** NFTA_TABLE_*. */
export const TableAttribute = { NAME: 1, FLAGS: 2 } as const;
/** NFT_TABLE_F_DORMANT: none of the table's chains is in force. */
export const DORMANT = 0x1;
/** NFT_TABLE_F_OWNER: the kernel deletes the table with the socket that made it, and lets nobody else change it. */
export const TABLE_OWNED = 0x2;

/** NFTA_CHAIN_* and NFTA_HOOK_*. */
export const ChainAttribute = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
export const HookAttribute = { NUMBER: 1, PRIORITY: 2, DEVICE: 3 } as const;

/** NF_INET_*; of family netdev NF_NETDEV_INGRESS. */
export const HOOK_NUMBER = {
  ingress: 0,
  prerouting: 0,
  input: 1,
  forward: 2,
  output: 3,
  postrouting: 4,
} as const;
export type Hook = keyof typeof HOOK_NUMBER;

/** NF_ACCEPT, the policy of every base chain here. */
export const ACCEPT = 1;

/** NFTA_RULE_*. */
export const RuleAttribute = { TABLE: 1, CHAIN: 2, HANDLE: 3, EXPRESSIONS: 4, USERDATA: 7 } as const;

/** NFTA_LIST_ELEM, NFTA_EXPR_*. */
export const LIST_ELEMENT = 1;
export const ExpressionAttribute = { NAME: 1, DATA: 2 } as const;

/** NFTA_DATA_* and NFTA_VERDICT_*. */
export const DataAttribute = { VALUE: 1, VERDICT: 2 } as const;
export const VerdictAttribute = { CODE: 1, CHAIN: 2 } as const;

/** NFTA_SET_*, NFTA_SET_DESC_*, NFTA_SET_FIELD_*. */
export const SetAttribute = {
  TABLE: 1,
  NAME: 2,
  FLAGS: 3,
  KEY_TYPE: 4,
  KEY_LENGTH: 5,
  DATA_TYPE: 6,
  DATA_LENGTH: 7,
  DESCRIPTION: 9,
  ID: 10,
  USERDATA: 13,
  EXPRESSION: 17,
  /** Since Linux 6.18, and in no header of linux-libc-dev before that. */
  COUNT: 20,
} as const;
export const SetDescription = { SIZE: 1, CONCAT: 2 } as const;
export const SET_FIELD_LENGTH = 1;

/** NFT_SET_*. */
export const SetFlag = { INTERVAL: 0x4, MAP: 0x8, TIMEOUT: 0x10, DYNAMIC: 0x20, CONCAT: 0x80 } as const;

/** NFTA_SET_ELEM_LIST_* and NFTA_SET_ELEM_*. */
export const ElementList = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
export const ElementAttribute = {
  KEY: 1,
  DATA: 2,
  FLAGS: 3,
  USERDATA: 6,
  EXPRESSION: 7,
  KEY_END: 10,
  EXPRESSIONS: 11,
} as const;
/** NFT_SET_ELEM_CATCHALL: the element for all keys that no other has. */
export const CATCH_ALL_FLAG = 0x2;

/** NFTA_GEN_*. */
export const GenerationAttribute = { ID: 1, PROCESS_ID: 2, PROCESS_NAME: 3 } as const;

/** NFNLGRP_NFTRACE. */
export const TRACE_GROUP = 9;
/** NFNLGRP_NFTABLES. */
export const NFTABLES_GROUP = 7;

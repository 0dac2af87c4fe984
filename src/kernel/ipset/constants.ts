/** Numbers of linux/netfilter/ipset/ip_set.h. */
import type { IpFamily } from '../../net/ip.js';
import { NetfilterSubsystem } from '../netlink/constants.js';
import { netfilterType } from '../netlink/nfnetlink.js';
import type { SetType } from './SetSpec.js';

/** IPSET_CMD_*, as types of messages. */
export const Command = {
  PROTOCOL: netfilterType(NetfilterSubsystem.IPSET, 1),
  CREATE: netfilterType(NetfilterSubsystem.IPSET, 2),
  DESTROY: netfilterType(NetfilterSubsystem.IPSET, 3),
  FLUSH: netfilterType(NetfilterSubsystem.IPSET, 4),
  LIST: netfilterType(NetfilterSubsystem.IPSET, 7),
  ADD: netfilterType(NetfilterSubsystem.IPSET, 9),
  DELETE: netfilterType(NetfilterSubsystem.IPSET, 10),
  TYPE: netfilterType(NetfilterSubsystem.IPSET, 13),
} as const;

/** IPSET_ATTR_* of a message. */
export const CommandAttribute = {
  PROTOCOL: 1,
  SET_NAME: 2,
  TYPE_NAME: 3,
  REVISION: 4,
  FAMILY: 5,
  FLAGS: 6,
  DATA: 7,
  ELEMENTS: 8,
  PROTOCOL_MIN: 10,
} as const;

/** IPSET_ATTR_* of a set or an element, inside CommandAttribute.DATA. */
export const DataAttribute = {
  ADDRESS: 1,
  PREFIX_LENGTH: 3,
  PORT: 4,
  LAST_PORT: 5,
  PROTOCOL: 7,
  FLAGS: 8,
  HASH_SIZE: 18,
  MOST_ELEMENTS: 19,
  SECOND_ADDRESS: 20,
  SECOND_PREFIX_LENGTH: 21,
  ELEMENTS: 24,
  REFERENCES: 25,
  MARK: 27,
} as const;

/** IPSET_ATTR_IPADDR_*, inside an address. */
export const AddressAttribute: Readonly<Record<IpFamily, number>> = { IPv4: 1, IPv6: 2 };

/** The kernel takes numbers in network order only when they are marked so: NLA_F_NET_BYTEORDER, added to the type. */
export const NETWORK_ORDER = 0x4000;

/** IPSET_FLAG_LIST_HEADER. */
export const LIST_HEADER = 1 << 2;

/** IPSET_FLAG_WITH_SKBINFO, of DataAttribute.FLAGS. */
export const WITH_MARKS = 1 << 6;

/** The protocols we speak: IPSET_PROTOCOL, and what kernels before 5.0 have. */
export const NEWEST_PROTOCOL = 7;
export const OLDEST_PROTOCOL = 6;

/** The newest revision of each type that we know, that of ipset 7.17. They differ in what we do not use. */
export const NEWEST_REVISION: Readonly<Record<SetType, number>> = {
  'hash:ip': 6,
  'hash:ip,port': 7,
  'hash:ip,port,ip': 6,
  'hash:ip,port,net': 8,
  'bitmap:port': 3,
};

/** AF_INET, AF_INET6. */
export const FAMILY: Readonly<Record<IpFamily, number>> = { IPv4: 2, IPv6: 10 };

/** IPPROTO_*, by ipset's names. */
export const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['tcp', 6],
  ['udp', 17],
  ['sctp', 132],
]);

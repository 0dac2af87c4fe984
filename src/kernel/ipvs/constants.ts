/** Numbers of linux/ip_vs.h. */
import type { IpFamily } from '../../net/ip.js';
import type { Forwarding } from './RealServer.js';
import type { IpvsProtocol } from './VirtualServer.js';

/** IPVS_GENL_NAME. */
export const FAMILY_NAME = 'IPVS';

/** IPVS_CMD_*. */
export const Command = {
  NEW_SERVICE: 1,
  SET_SERVICE: 2,
  DELETE_SERVICE: 3,
  GET_SERVICE: 4,
  NEW_DESTINATION: 5,
  SET_DESTINATION: 6,
  DELETE_DESTINATION: 7,
  GET_DESTINATION: 8,
  SET_CONFIG: 12,
  GET_CONFIG: 13,
  GET_INFO: 15,
} as const;

/** IPVS_CMD_ATTR_*. */
export const CommandAttribute = {
  SERVICE: 1,
  DESTINATION: 2,
  TIMEOUT_TCP: 4,
  TIMEOUT_TCP_FIN: 5,
  TIMEOUT_UDP: 6,
} as const;

/** IPVS_SVC_ATTR_*. */
export const ServiceAttribute = {
  FAMILY: 1,
  PROTOCOL: 2,
  ADDRESS: 3,
  PORT: 4,
  MARK: 5,
  SCHEDULER: 6,
  FLAGS: 7,
  TIMEOUT: 8,
  NETMASK: 9,
  STATS64: 12,
} as const;

/** IPVS_DEST_ATTR_*. */
export const DestinationAttribute = {
  ADDRESS: 1,
  PORT: 2,
  FORWARDING: 3,
  WEIGHT: 4,
  UPPER_THRESHOLD: 5,
  LOWER_THRESHOLD: 6,
  ACTIVE: 7,
  INACTIVE: 8,
  PERSISTENT: 9,
  FAMILY: 11,
  STATS64: 12,
} as const;

/** IPVS_STATS_ATTR_*. */
export const StatsAttribute = {
  CONNECTIONS: 1,
  PACKETS_IN: 2,
  PACKETS_OUT: 3,
  BYTES_IN: 4,
  BYTES_OUT: 5,
} as const;

/** IPVS_INFO_ATTR_*. */
export const InfoAttribute = { VERSION: 1, TABLE_SIZE: 2 } as const;

/** AF_INET, AF_INET6. */
export const FAMILY: Readonly<Record<IpFamily, number>> = { IPv4: 2, IPv6: 10 };

/** IPPROTO_*. */
export const PROTOCOL: Readonly<Record<IpvsProtocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** IP_VS_CONN_F_FWD_MASK and the methods in it, by number. */
export const FORWARDING_MASK = 7;
export const FORWARDINGS: readonly Forwarding[] = ['masquerade', 'local', 'tunnel', 'route', 'bypass'];

/** struct ip_vs_flags, bytes: u32 flags, u32 mask of the flags that are meant. */
export const FLAGS_SIZE = 8;

/** union nf_inet_addr, bytes. */
export const ADDRESS_SIZE = 16;

/** IP_VS_SCHEDNAME_MAXLEN without the final NUL, bytes. */
export const LONGEST_SCHEDULER = 15;

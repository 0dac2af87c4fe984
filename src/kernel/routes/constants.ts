/** Numbers of linux/rtnetlink.h, if_link.h, if_addr.h and if.h. */
import type { IpFamily } from '../../net/ip.js';

/** RTM_*. */
export const MessageType = {
  NEW_LINK: 16,
  DELETE_LINK: 17,
  GET_LINK: 18,
  NEW_ADDRESS: 20,
  DELETE_ADDRESS: 21,
  GET_ADDRESS: 22,
} as const;

/** struct ifinfomsg, bytes: u8 family, u8 0, u16 type, i32 index, u32 flags, u32 mask of the flags that are meant. */
export const LINK_HEADER = 16;

/** IFLA_*. */
export const LinkAttribute = { NAME: 3, INFO: 18 } as const;

/** IFLA_INFO_KIND, inside LinkAttribute.INFO. */
export const INFO_KIND = 1;

/** IFF_UP. */
export const UP = 1;

/** IFNAMSIZ without the final NUL, bytes. */
export const LONGEST_NAME = 15;

/** struct ifaddrmsg, bytes: u8 family, u8 prefix length, u8 flags, u8 scope, u32 link. */
export const ADDRESS_HEADER = 8;

/** IFA_*. */
export const AddressAttribute = { ADDRESS: 1, LOCAL: 2 } as const;

/** AF_INET, AF_INET6. */
export const FAMILY: Readonly<Record<IpFamily, number>> = { IPv4: 2, IPv6: 10 };

/** The link of mode ipvs, kube-proxy's too. Its addresses are those of Services, not the host's own. */
export const SERVICE_LINK = 'kube-ipvs0';

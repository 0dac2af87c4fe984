/** What ipset's own error numbers mean: IPSET_ERR_* of linux/netfilter/ipset/ip_set.h, ip_set_hash.h and ip_set_bitmap.h. */
import type { ErrorWords } from '../netlink/commitChanges.js';

const PRIVATE = 4096;

/** From IPSET_ERR_PRIVATE on. */
const COMMON: readonly (readonly [code: string, words: string])[] = [
  ['IPSET_ERR_PRIVATE', 'an error without a name'],
  ['IPSET_ERR_PROTOCOL', 'the kernel makes no sense of it: often an address of the other IP family'],
  ['IPSET_ERR_FIND_TYPE', 'the kernel has no such type of set'],
  ['IPSET_ERR_MAX_SETS', 'the kernel holds as many sets as it can'],
  ['IPSET_ERR_BUSY', 'a rule or another set refers to it'],
  ['IPSET_ERR_EXIST_SETNAME2', 'a set has the new name already'],
  ['IPSET_ERR_TYPE_MISMATCH', 'the sets are of different types'],
  ['IPSET_ERR_EXIST', 'it is there already, or not there'],
  ['IPSET_ERR_INVALID_CIDR', 'the prefix length is not valid'],
  ['IPSET_ERR_INVALID_NETMASK', 'the netmask is not valid'],
  ['IPSET_ERR_INVALID_FAMILY', 'the set is of another IP family'],
  ['IPSET_ERR_TIMEOUT', 'the set has no timeouts'],
  ['IPSET_ERR_REFERENCED', 'a rule or another set refers to it'],
  ['IPSET_ERR_IPADDR_IPV4', 'an IPv4 address is missing'],
  ['IPSET_ERR_IPADDR_IPV6', 'an IPv6 address is missing'],
  ['IPSET_ERR_COUNTER', 'the set has no counters'],
  ['IPSET_ERR_COMMENT', 'the set has no comments'],
  ['IPSET_ERR_INVALID_MARKMASK', 'the mask of the mark is not valid'],
  ['IPSET_ERR_SKBINFO', 'the set has no packet marks'],
];

const TYPE_SPECIFIC = 4352;

/** From IPSET_ERR_TYPE_SPECIFIC on, of hashes; a bitmap uses the first for a port that is out of its range. */
const HASH: readonly (readonly [code: string, words: string])[] = [
  ['IPSET_ERR_HASH_FULL', 'the set is full'],
  ['IPSET_ERR_HASH_ELEM', 'the element is not valid'],
  ['IPSET_ERR_INVALID_PROTO', 'the protocol is not valid'],
  ['IPSET_ERR_MISSING_PROTO', 'the protocol is missing'],
  ['IPSET_ERR_HASH_RANGE_UNSUPPORTED', 'ranges are not supported'],
  ['IPSET_ERR_HASH_RANGE', 'the range is not valid'],
];

/** `errno` is negative. Undefined for what is no error of ipset alone. */
export function explainSetError(errno: number): ErrorWords | undefined {
  const [code, words] = HASH[-errno - TYPE_SPECIFIC] ?? COMMON[-errno - PRIVATE] ?? [];
  return code === undefined || words === undefined ? undefined : { code, words };
}

/** Statements that send a packet on to another host, and what of a packet they look at. */
import type { IpFamily } from '../../net/ip.js';
import { FAMILY_NUMBER } from './constants.js';
import { type DataType, INET_PROTOCOL, INET_SERVICE, IPV4_ADDRESS, IPV6_ADDRESS } from './dataTypes.js';
import { expression, VerdictCode } from './Expression.js';
import { type Field, registerNumber, TRANSPORT_HEADER, wordsOf } from './fields.js';
import { hasTcpFlags, hostWord, masked, type Statement, TCP_SYN } from './statements.js';

const FIRST = registerNumber(0);
/** The words after an IPv6 address. */
const AFTER_ADDRESS = registerNumber(4);
const NETWORK_HEADER = 1;
const LINK_HEADER = 0;

/** Bytes of the transport header that nft has no name for there: `@th,64,32` counts bits. */
function rawField(offset: number, type: DataType): Field {
  return {
    text: `@th,${offset * 8},${type.bytes * 8}`,
    type,
    load: (register) => [
      expression('payload', {
        dreg: registerNumber(register),
        base: TRANSPORT_HEADER,
        offset,
        length: type.bytes,
      }),
    ],
  };
}

/** ICMP header; then the IP header of the packet that the error is about (IPv4: without options), then its ports. */
const ICMP = 8;
const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

/** Of the packet that an ICMP error is about, as its sender saw it: it came from the VIP and went to the client. */
export interface InnerFields {
  readonly vip: Field;
  readonly protocol: Field;
  readonly vipPort: Field;
  readonly client: Field;
  readonly clientPort: Field;
}

export const INNER: Readonly<Record<IpFamily, InnerFields>> = {
  IPv4: {
    vip: rawField(ICMP + 12, IPV4_ADDRESS),
    protocol: rawField(ICMP + 9, INET_PROTOCOL),
    vipPort: rawField(ICMP + IPV4_HEADER, INET_SERVICE),
    client: rawField(ICMP + 16, IPV4_ADDRESS),
    clientPort: rawField(ICMP + IPV4_HEADER + 2, INET_SERVICE),
  },
  IPv6: {
    vip: rawField(ICMP + 8, IPV6_ADDRESS),
    protocol: rawField(ICMP + 6, INET_PROTOCOL),
    vipPort: rawField(ICMP + IPV6_HEADER, INET_SERVICE),
    client: rawField(ICMP + 24, IPV6_ADDRESS),
    clientPort: rawField(ICMP + IPV6_HEADER + 2, INET_SERVICE),
  },
};

export const SOURCE_PORT: Field = {
  text: 'th sport',
  type: INET_SERVICE,
  load: (register) => [
    expression('payload', { dreg: registerNumber(register), base: TRANSPORT_HEADER, offset: 0, length: 2 }),
  ],
};

/** ETHER_ADDR. */
const HARDWARE_ADDRESS: DataType = {
  name: 'ether_addr',
  id: 9,
  bytes: 6,
  print: (value) => [...value].map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(':'),
};

export const SOURCE_HARDWARE_ADDRESS: Field = {
  text: 'ether saddr',
  type: HARDWARE_ADDRESS,
  load: (register) => [
    expression('payload', { dreg: registerNumber(register), base: LINK_HEADER, offset: 6, length: 6 }),
  ],
};

const ETHERTYPE = {
  IPv4: ['ip', '\x08\x00'],
  IPv6: ['ip6', '\x86\xdd'],
} as const;
/** NFT_META_PROTOCOL. */
const META_PROTOCOL = 1;

/** In family netdev packets of every kind come by. */
export function isFamily(family: IpFamily): Statement {
  const [word, number] = ETHERTYPE[family];
  return {
    text: `meta protocol ${word}`,
    expressions: [
      expression('meta', { key: META_PROTOCOL, dreg: FIRST }),
      expression('cmp', { sreg: FIRST, op: 0, data: number }),
    ],
  };
}

/** NFT_META_PKTTYPE; PACKET_HOST. */
const META_PACKET_TYPE = 19;
const TO_THIS_HOST = '\0';

/** A switch that does not know a hardware address floods: such a frame is another host's, and the kernel drops it after ingress. */
export const IS_FOR_ANOTHER_HOST: Statement = {
  text: 'meta pkttype != host',
  expressions: [
    expression('meta', { key: META_PACKET_TYPE, dreg: FIRST }),
    expression('cmp', { sreg: FIRST, op: 1, data: TO_THIS_HOST }),
  ],
};

/** IPPROTO_FRAGMENT, NFT_EXTHDR_F_PRESENT. */
const FRAGMENT_HEADER = 44;
const PRESENT = 1;
const NOT_EQUAL = 1;

/** Also the first one, which has ports: all of a datagram must go the same way. */
export const IS_FRAGMENT: Readonly<Record<IpFamily, Statement>> = {
  IPv4: {
    text: 'ip frag-off & 0x3fff != 0',
    expressions: [
      expression('payload', { dreg: FIRST, base: NETWORK_HEADER, offset: 6, length: 2 }),
      expression('bitwise', { sreg: FIRST, dreg: FIRST, length: 2, op: 0, mask: '\x3f\xff', xor: '\0\0' }),
      expression('cmp', { sreg: FIRST, op: NOT_EQUAL, data: '\0\0' }),
    ],
  },
  IPv6: {
    text: 'exthdr frag exists',
    expressions: [
      expression('exthdr', { dreg: FIRST, type: FRAGMENT_HEADER, offset: 0, length: 1, flags: PRESENT }),
      expression('cmp', { sreg: FIRST, op: 0, data: '\x01' }),
    ],
  },
};

/** Destination unreachable, time exceeded, parameter problem; IPv6 has too big beside. */
const ERROR_TYPES: Readonly<Record<IpFamily, readonly number[]>> = { IPv4: [3, 11, 12], IPv6: [1, 2, 3, 4] };
const ICMP_TYPE: Readonly<Record<IpFamily, string>> = { IPv4: 'icmp type', IPv6: 'icmpv6 type' };

/** One statement for each type of error. */
export function isIcmpError(family: IpFamily): readonly Statement[] {
  return ERROR_TYPES[family].map((type) => ({
    text: `${ICMP_TYPE[family]} ${type}`,
    expressions: [
      expression('payload', { dreg: FIRST, base: TRANSPORT_HEADER, offset: 0, length: 1 }),
      expression('cmp', { sreg: FIRST, op: 0, data: String.fromCharCode(type) }),
    ],
  }));
}

function lookedUp(fields: readonly Field[], map: string) {
  const [index] = fields;
  if (index === undefined || fields.length !== 1 || wordsOf(index) !== 1)
    throw new TypeError('the key of such a map is one number');
  return {
    text: `${index.text} map @${map}`,
    loads: [...index.load(0, 4), expression('lookup', { sreg: FIRST, dreg: FIRST, set: map, flags: 0 })],
  };
}

/** Where a packet leaves: the index of an interface, as its name is only for people. */
export interface Device {
  readonly name: string;
  readonly index: number;
}

/** Family netdev: out to the neighbour that the map holds; goes on when it holds none. Lowers the TTL. */
export function forwardTo(family: IpFamily, index: Field, map: string, device: Device): Statement {
  const { text, loads } = lookedUp([index], map);
  return {
    text: `fwd ${ETHERTYPE[family][0]} to ${text} device "${device.name}"`,
    expressions: [
      ...loads,
      expression('immediate', { dreg: AFTER_ADDRESS, data: hostWord(device.index) }),
      expression('fwd', { device: AFTER_ADDRESS, address: FIRST, family: FAMILY_NUMBER[family] }),
    ],
  };
}

/**
 * TTL (hop limit) with which a packet is handed over; the kernel lowers it by one more. So low that no packet has come with it from
 * anywhere, and enough for the way to a pod.
 */
const HANDED_OVER_TTL = 8;
const SCRATCH = registerNumber(8);
/** NFT_CMP_GT. */
const GREATER = 4;
/** NFT_PAYLOAD_CSUM_INET. */
const CHECKSUM_INET = 1;
const TTL = {
  IPv4: {
    text: 'ip ttl',
    offset: 8,
    pair: 8,
    mask: '\0\xff',
    value: String.fromCharCode(HANDED_OVER_TTL, 0),
  },
  IPv6: {
    text: 'ip6 hoplimit',
    offset: 7,
    pair: 6,
    mask: '\xff\0',
    value: String.fromCharCode(0, HANDED_OVER_TTL),
  },
} as const;

/** Nobody has handed it over yet: two nodes whose tables differ would send it to and fro. */
export const MAY_BE_HANDED_OVER: Readonly<Record<IpFamily, Statement>> = {
  IPv4: hasTtlAbove('IPv4'),
  IPv6: hasTtlAbove('IPv6'),
};

function hasTtlAbove(family: IpFamily): Statement {
  const { text, offset } = TTL[family];
  return {
    text: `${text} > ${HANDED_OVER_TTL}`,
    expressions: [
      expression('payload', { dreg: FIRST, base: NETWORK_HEADER, offset, length: 1 }),
      expression('cmp', { sreg: FIRST, op: GREATER, data: String.fromCharCode(HANDED_OVER_TTL) }),
    ],
  };
}

/**
 * Family IPv4 or IPv6: a copy to the neighbour that the map holds, and the packet itself is dropped; goes on when it holds none. The copy
 * is not MAY_BE_HANDED_OVER any more.
 */
export function handOver(family: IpFamily, index: Field, map: string, device: Device): Statement {
  const { text, loads } = lookedUp([index], map);
  const { text: ttl, pair, mask, value } = TTL[family];
  return {
    text: `dup to ${text} device "${device.name}" ${ttl} set ${HANDED_OVER_TTL} drop`,
    expressions: [
      ...loads,
      expression('payload', { dreg: SCRATCH, base: NETWORK_HEADER, offset: pair, length: 2 }),
      expression('bitwise', { sreg: SCRATCH, dreg: SCRATCH, length: 2, op: 0, mask, xor: value }),
      expression('payload', {
        sreg: SCRATCH,
        base: NETWORK_HEADER,
        offset: pair,
        length: 2,
        checksum: family === 'IPv4' ? CHECKSUM_INET : 0,
        checksumOffset: family === 'IPv4' ? 10 : 0,
      }),
      expression('immediate', { dreg: AFTER_ADDRESS, data: hostWord(device.index) }),
      expression('dup', { address: FIRST, device: AFTER_ADDRESS }),
      expression('immediate', { dreg: 0, verdict: { code: VerdictCode.DROP } }),
    ],
  };
}

/** NF_CT_STATE bits of new and invalid; NFT_CT_STATE. */
const NEW_OR_INVALID = 0x8 | 0x1;
const CT_STATE = 0;

/** Connection tracking knows nothing of it: `new` or, with nf_conntrack_tcp_loose=0, `invalid`. */
export const OF_NO_CONNECTION: Statement = {
  text: 'ct state invalid,new',
  expressions: [
    expression('ct', { key: CT_STATE, dreg: FIRST }),
    masked(4, hostWord(NEW_OR_INVALID), hostWord(0)),
    expression('cmp', { sreg: FIRST, op: NOT_EQUAL, data: hostWord(0) }),
  ],
};

/** A TCP packet that begins no connection. */
export const IS_NO_SYN = hasTcpFlags('tcp flags & syn == 0', TCP_SYN, 0);

/**
 * The statements of rules, each in nft's own words and as the expressions that nft makes of them. The two forms are
 * tested against each other. Only what the kernel can list back readably is here: nft 1.0.6 aborts on a map lookup
 * as the data of `update`.
 */
import { type Cidr, type IpAddress, type IpFamily, ipToBytes, prefixLength } from '../../net/ip.js';
import { FAMILY_NUMBER } from './constants.js';
import { type Expression, expression, NOWHERE, VerdictCode } from './Expression.js';
import {
  CtKey,
  FIELDS,
  type Field,
  L4_PROTOCOL,
  MetaKey,
  registerNumber,
  TRANSPORT_HEADER,
  wordsOf,
} from './fields.js';

export interface Statement {
  readonly text: string;
  readonly expressions: readonly Expression[];
}

export type Rule = readonly Statement[];

export type Comparison = 'is' | 'is not';

/** NFT_CMP_EQ and NFT_CMP_NEQ. */
const CMP: Readonly<Record<Comparison, number>> = { is: 0, 'is not': 1 };
const NOT_EQUAL = 1;
/** NFT_LOOKUP_F_INV. */
const INVERTED = 1;
/** Register 0, where verdicts go. */
const VERDICT = 0;
const FIRST = registerNumber(0);

export const textOf = (fields: readonly Field[]) => fields.map((field) => field.text).join(' . ');

/** Loads fields one after the other from a word on; says where the next free word is. */
export function load(fields: readonly Field[], from = 0): { loads: Expression[]; end: number } {
  const end = fields.reduce((word, field) => word + wordsOf(field), from);
  // nft leaves room for a whole register between a key and what it needs to make it.
  const scratch = end + 4;
  const loads: Expression[] = [];
  let word = from;
  for (const field of fields) {
    loads.push(...field.load(word, scratch));
    word += wordsOf(field);
  }
  return { loads, end };
}

/** `ip daddr . th dport @set` */
export function inSet(fields: readonly Field[], comparison: Comparison, set: string): Statement {
  const flags = comparison === 'is' ? 0 : INVERTED;
  return {
    text: `${textOf(fields)} ${comparison === 'is' ? '' : '!= '}@${set}`,
    expressions: [...load(fields).loads, expression('lookup', { sreg: FIRST, set, flags })],
  };
}

/** Whether a map has the key, whatever it says of it. A verdict follows. */
export function inMap(fields: readonly Field[], map: string): Statement {
  return {
    text: `${textOf(fields)} @${map}`,
    expressions: [
      ...load(fields).loads,
      expression('lookup', { sreg: FIRST, dreg: NOWHERE, set: map, flags: 0 }),
    ],
  };
}

/** Goes on where the map says. */
export function verdictMap(fields: readonly Field[], map: string): Statement {
  return {
    text: `${textOf(fields)} vmap @${map}`,
    expressions: [
      ...load(fields).loads,
      expression('lookup', { sreg: FIRST, dreg: VERDICT, set: map, flags: 0 }),
    ],
  };
}

/** Sends the connection to the address and port that a map holds; goes on when it holds none. */
export function destinationNat(family: IpFamily, fields: readonly Field[], map: string): Statement {
  const addressWords = wordsOf(FIELDS[family].destinationAddress);
  const [ip] = FIELDS[family].destinationAddress.text.split(' ');
  return {
    text: `dnat ${ip} addr . port to ${textOf(fields)} map @${map}`,
    expressions: [
      ...load(fields).loads,
      expression('lookup', { sreg: FIRST, dreg: FIRST, set: map, flags: 0 }),
      expression('nat', {
        kind: 1,
        family: FAMILY_NUMBER[family],
        address: FIRST,
        port: registerNumber(addressWords),
      }),
    ],
  };
}

/** Remembers data for a key, for a time; the time begins anew when the key is there already. */
export function updateMap(
  map: string,
  {
    key,
    data,
    seconds,
  }: { readonly key: readonly Field[]; readonly data: readonly Field[]; readonly seconds: number },
): Statement {
  const { loads, end } = load(key);
  // The data begins at the next whole register where there is room for that.
  const aligned = (end + 3) & ~3;
  const words = data.reduce((sum, field) => sum + wordsOf(field), 0);
  const from = aligned + words <= 16 ? aligned : end;
  return {
    text: `update @${map} { ${textOf(key)} timeout ${durationText(seconds)} : ${textOf(data)} }`,
    expressions: [
      ...loads,
      ...load(data, from).loads,
      expression('dynset', {
        key: FIRST,
        data: registerNumber(from),
        op: 1,
        timeout: seconds * 1000,
        set: map,
      }),
    ],
  };
}

/** nft's way to write a time: `1d2h3m4s`. */
export function durationText(seconds: number): string {
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const;
  return parts.map(([count, unit]) => (count === 0 ? '' : `${count}${unit}`)).join('');
}

/** `ip saddr != 10.0.0.0/8`. A whole number of bytes is compared directly, anything else through a mask, as nft does. */
export function prefix(field: Field, comparison: Comparison, cidr: Cidr): Statement {
  const length = prefixLength(cidr);
  const address = ipToBytes(cidr.slice(0, cidr.indexOf('/')) as IpAddress);
  const bytes = String.fromCharCode(...address);
  const whole = length > 0 && length % 8 === 0;
  const [first] = field.load(0, 0);
  const loaded = whole && first ? { ...first, values: { ...first.values, length: length / 8 } } : first;
  const mask = String.fromCharCode(
    ...address.map((_, i) => 0xff00 >> Math.min(8, Math.max(0, length - i * 8))),
  );
  const text = length === bytes.length * 8 ? cidr.slice(0, cidr.indexOf('/')) : cidr;
  return {
    text: `${field.text} ${comparison === 'is' ? '' : '!= '}${text}`,
    expressions: [
      ...(loaded ? [loaded] : []),
      ...(whole ? [] : [masked(bytes.length, mask, '\0'.repeat(bytes.length))]),
      expression('cmp', {
        sreg: FIRST,
        op: CMP[comparison],
        data: whole ? bytes.slice(0, length / 8) : bytes,
      }),
    ],
  };
}

export function masked(length: number, mask: string, xor: string): Expression {
  return expression('bitwise', { sreg: FIRST, dreg: FIRST, length, op: 0, mask, xor });
}

/** IFNAMSIZ. */
const INTERFACE_NAME_BYTES = 16;

/** An interface by its name, or all whose names begin so (`cni*`). */
export function inputInterface(comparison: Comparison, name: string): Statement {
  const data = name.endsWith('*') ? name.slice(0, -1) : name.padEnd(INTERFACE_NAME_BYTES, '\0');
  return {
    text: `iifname ${comparison === 'is' ? '' : '!= '}"${name}"`,
    expressions: [
      expression('meta', { key: MetaKey.IIFNAME, dreg: FIRST }),
      expression('cmp', { sreg: FIRST, op: CMP[comparison], data }),
    ],
  };
}

/** NFTA_FIB_F_*. */
const FIB_FLAGS = { saddr: 1, daddr: 2 } as const;
const FIB_ADDRESS_TYPE = 3;
/** RTN_LOCAL. */
const LOCAL = 2;

/** The address is one of this host. */
export function isLocalAddress(which: keyof typeof FIB_FLAGS): Statement {
  return {
    text: `fib ${which} type local`,
    expressions: [
      expression('fib', { flags: FIB_FLAGS[which], result: FIB_ADDRESS_TYPE, dreg: FIRST }),
      expression('cmp', { sreg: FIRST, op: 0, data: hostWord(LOCAL) }),
    ],
  };
}

/** 32 bits as a register has them. */
export function hostWord(value: number): string {
  return String.fromCharCode(...new Uint8Array(Uint32Array.of(value).buffer));
}

/** NFT_SOCKET_TRANSPARENT. */
const TRANSPARENT = 0;

/** The packet is of a socket of this host that is bound to an address of others (IP_TRANSPARENT). */
export const FOR_TRANSPARENT_SOCKET = ofSocket(true);
/** It is of another socket of this host; not where it is of none. */
export const FOR_OTHER_SOCKET = ofSocket(false);

function ofSocket(isTransparent: boolean): Statement {
  return {
    text: `socket transparent ${isTransparent ? 1 : 0}`,
    expressions: [
      expression('socket', { key: TRANSPARENT, dreg: FIRST }),
      expression('cmp', { sreg: FIRST, op: 0, data: isTransparent ? '\x01' : '\x00' }),
    ],
  };
}

const hex = (bits: number) => `0x${bits.toString(16)}`;
export const loadMark = expression('meta', { key: MetaKey.MARK, dreg: FIRST });
export const storeMark = expression('meta', { key: MetaKey.MARK, sreg: FIRST });

export function setMark(bits: number): Statement {
  return {
    text: `meta mark set meta mark or ${hex(bits)}`,
    expressions: [loadMark, masked(4, hostWord(~bits), hostWord(bits)), storeMark],
  };
}

export function isMarked(bits: number): Statement {
  return {
    text: `meta mark and ${hex(bits)} != 0`,
    expressions: [
      loadMark,
      masked(4, hostWord(bits), hostWord(0)),
      expression('cmp', { sreg: FIRST, op: NOT_EQUAL, data: hostWord(0) }),
    ],
  };
}

/** Takes marks away that are there. */
export function clearMark(bits: number): Statement {
  return {
    text: `meta mark set meta mark xor ${hex(bits)}`,
    expressions: [loadMark, masked(4, hostWord(0xffffffff), hostWord(bits)), storeMark],
  };
}

/** IPS_DST_NAT. */
const DESTINATION_NAT = 0x20;

export const HAS_DESTINATION_NAT: Statement = {
  text: 'ct status dnat',
  expressions: [
    expression('ct', { key: CtKey.STATUS, dreg: FIRST }),
    masked(4, hostWord(DESTINATION_NAT), hostWord(0)),
    expression('cmp', { sreg: FIRST, op: NOT_EQUAL, data: hostWord(0) }),
  ],
};

export const PROTOCOL_NUMBER = { icmp: 1, tcp: 6, udp: 17, 'ipv6-icmp': 58, sctp: 132 } as const;

export function isProtocol(name: keyof typeof PROTOCOL_NUMBER): Statement {
  return {
    text: `meta l4proto ${name}`,
    expressions: [
      ...L4_PROTOCOL.load(0, 0),
      expression('cmp', { sreg: FIRST, op: 0, data: String.fromCharCode(PROTOCOL_NUMBER[name]) }),
    ],
  };
}

const ECHO_REQUEST = {
  IPv4: ['icmp type echo-request', 'icmp', 8],
  IPv6: ['icmpv6 type echo-request', 'ipv6-icmp', 128],
} as const;

export function isEchoRequest(family: IpFamily): Statement {
  const [text, protocol, number] = ECHO_REQUEST[family];
  return {
    text,
    expressions: [
      ...isProtocol(protocol).expressions,
      expression('payload', { dreg: FIRST, base: 2, offset: 0, length: 1 }),
      expression('cmp', { sreg: FIRST, op: 0, data: String.fromCharCode(number) }),
    ],
  };
}

/** NF_NAT_RANGE_PROTO_SPECIFIED and NF_NAT_RANGE_PROTO_RANDOM_FULLY. */
const PORT_GIVEN = 0x2;
const FULLY_RANDOM = 0x10;

/** With a source port that nobody can guess, and that two CPUs rarely choose at once. */
export const MASQUERADE: Statement = {
  text: 'masquerade fully-random',
  expressions: [expression('masq', { flags: FULLY_RANDOM })],
};

/** To this host; `port` undefined leaves the port as it is. */
export function redirect(port?: number): Statement {
  if (port === undefined) return { text: 'redirect', expressions: [expression('redir', {})] };
  return {
    text: `redirect to :${port}`,
    expressions: [
      expression('immediate', { dreg: FIRST, data: String.fromCharCode(port >> 8, port & 255) }),
      expression('redir', { port: FIRST, flags: PORT_GIVEN }),
    ],
  };
}

/** Port unreachable. */
const UNREACHABLE: Readonly<Record<IpFamily, number>> = { IPv4: 3, IPv6: 4 };

export function reject(family: IpFamily): Statement {
  return { text: 'reject', expressions: [expression('reject', { kind: 0, code: UNREACHABLE[family] })] };
}

/** Only for TCP. */
export const RESET: Statement = {
  text: 'reject with tcp reset',
  expressions: [expression('reject', { kind: 1, code: 0 })],
};

/** `rate`: packets a second; `burst`: at once. What is more does not go on in the rule. */
export function limited(rate: number, burst: number): Statement {
  return {
    text: `limit rate ${rate}/second burst ${burst} packets`,
    expressions: [expression('limit', { rate, unit: 1, burst, kind: 0, flags: 0 })],
  };
}

/** TCP flags, as bits of the header's byte. */
export const TCP_SYN = 0x02;
export const TCP_ACK = 0x10;

/** Of the flags in `mask` a packet has those in `flags` and no other. */
export function hasTcpFlags(text: string, mask: number, flags: number): Statement {
  return {
    text,
    expressions: [
      expression('payload', { dreg: FIRST, base: TRANSPORT_HEADER, offset: 13, length: 1 }),
      expression('bitwise', {
        sreg: FIRST,
        dreg: FIRST,
        length: 1,
        op: 0,
        mask: String.fromCharCode(mask),
        xor: '\0',
      }),
      expression('cmp', { sreg: FIRST, op: CMP.is, data: String.fromCharCode(flags) }),
    ],
  };
}

/** Of what is logged in a second at most, and at once. */
const LOG_RATE = 50;
const LOG_BURST = 100;
/** Bytes of a packet: its headers. */
const LOG_LENGTH = 80;

/** Hands the packet's headers to whoever listens to the group (nfnetlink_log), with a few words, and goes on. */
export function logTo(group: number, words: string): Statement {
  const limit = limited(LOG_RATE, LOG_BURST);
  return {
    text: `${limit.text} log prefix "${words}" group ${group} snaplen ${LOG_LENGTH}`,
    expressions: [...limit.expressions, expression('log', { group, prefix: words, snaplen: LOG_LENGTH })],
  };
}

/** The end of this chain and its hook's; chains of others still see the packet. */
export const ACCEPT: Statement = verdict('accept', VerdictCode.ACCEPT);

export const DROP: Statement = verdict('drop', VerdictCode.DROP);

export function goTo(chain: string): Statement {
  return verdict(`goto ${chain}`, VerdictCode.GOTO, chain);
}

export function jumpTo(chain: string): Statement {
  return verdict(`jump ${chain}`, VerdictCode.JUMP, chain);
}

function verdict(text: string, code: number, chain?: string): Statement {
  const value = chain === undefined ? { code } : { code, chain };
  return { text, expressions: [expression('immediate', { dreg: VERDICT, verdict: value })] };
}

/** What a rule can look at in a packet: how nft names it and how it is loaded into registers. */
import type { IpFamily } from '../../net/ip.js';
import {
  type DataType,
  INDEX,
  INET_PROTOCOL,
  INET_SERVICE,
  IPV4_ADDRESS,
  IPV6_ADDRESS,
  MARK,
} from './dataTypes.js';
import { type Expression, expression } from './Expression.js';

export interface Field {
  /** In nft's words: `ip saddr`. */
  readonly text: string;
  readonly type: DataType;
  /** Loads the field into words from `register` on; words from `scratch` on may be used on the way. */
  readonly load: (register: number, scratch: number) => readonly Expression[];
  /** How a set declared with typeof remembers the field in its user data, for `nft list`. */
  readonly typeOf?: string;
}

/** Words of four bytes that the field takes in registers. */
export function wordsOf({ type }: Field): number {
  return (type.bytes + 3) >> 2;
}

/** The kernel's number of the register that begins at a word, 0 to 15: NFT_REG_1… where 16 bytes begin, else NFT_REG32_00…. */
export function registerNumber(word: number): number {
  return word % 4 === 0 ? 1 + word / 4 : 8 + word;
}

const NETWORK_HEADER = 1;
export const TRANSPORT_HEADER = 2;

/** Offset and length in bytes of a header. */
function payload(base: number, offset: number, type: DataType): Field['load'] {
  return (register) => [
    expression('payload', { dreg: registerNumber(register), base, offset, length: type.bytes }),
  ];
}

export const MetaKey = { MARK: 3, IIFNAME: 6, NFTRACE: 12, L4PROTO: 16 } as const;

const meta =
  (key: number): Field['load'] =>
  (register) => [expression('meta', { key, dreg: registerNumber(register) })];

export const CtKey = {
  STATE: 0,
  DIRECTION: 1,
  STATUS: 2,
  PROTO_DST: 12,
  SRC_IP: 19,
  DST_IP: 20,
  SRC_IP6: 21,
  DST_IP6: 22,
} as const;

/** IP_CT_DIR_ORIGINAL. */
const ORIGINAL = 0;

const original =
  (key: number): Field['load'] =>
  (register) => [expression('ct', { key, dreg: registerNumber(register), direction: ORIGINAL })];

/** The user data of `typeof`: a list of (kind, length, value); numbers of nftables' src/proto.c, in host order. */
function record(...parts: readonly (readonly [kind: number, value: string | number])[]): string {
  return parts
    .map(([kind, value]) => {
      const bytes = typeof value === 'string' ? value : hostNumber(value);
      return String.fromCharCode(kind, bytes.length) + bytes;
    })
    .join('');
}

function hostNumber(value: number): string {
  return String.fromCharCode(...new Uint8Array(Uint32Array.of(value).buffer));
}

/** EXPR_PAYLOAD, EXPR_META, EXPR_NUMGEN, EXPR_CONCAT of nftables. */
const ExpressionKind = { PAYLOAD: 7, META: 9, CONCAT: 13, NUMGEN: 23 } as const;
/** PROTO_DESC_* of nftables. */
const Protocol = { TRANSPORT: 11, IP: 12, IP6: 13 } as const;

const typeOfPayload = (protocol: number, field: number) =>
  record([0, ExpressionKind.PAYLOAD], [1, record([0, protocol], [1, field])]);

/** `typeof` of several fields. */
export function typeOfConcatenation(fields: readonly Field[]): string {
  const parts = fields.map(({ text, typeOf }, index) => {
    if (typeOf === undefined) throw new TypeError(`there is no typeof for ${text}`);
    return [index, typeOf] as const;
  });
  return record([0, ExpressionKind.CONCAT], [1, record(...parts)]);
}

export interface Fields {
  readonly sourceAddress: Field;
  readonly destinationAddress: Field;
  /** Before any NAT. */
  readonly originalSourceAddress: Field;
  readonly originalDestinationAddress: Field;
}

export const FIELDS: Readonly<Record<IpFamily, Fields>> = {
  IPv4: {
    sourceAddress: {
      text: 'ip saddr',
      type: IPV4_ADDRESS,
      load: payload(NETWORK_HEADER, 12, IPV4_ADDRESS),
    },
    destinationAddress: {
      text: 'ip daddr',
      type: IPV4_ADDRESS,
      load: payload(NETWORK_HEADER, 16, IPV4_ADDRESS),
      typeOf: typeOfPayload(Protocol.IP, 12),
    },
    originalSourceAddress: { text: 'ct original ip saddr', type: IPV4_ADDRESS, load: original(CtKey.SRC_IP) },
    originalDestinationAddress: {
      text: 'ct original ip daddr',
      type: IPV4_ADDRESS,
      load: original(CtKey.DST_IP),
    },
  },
  IPv6: {
    sourceAddress: { text: 'ip6 saddr', type: IPV6_ADDRESS, load: payload(NETWORK_HEADER, 8, IPV6_ADDRESS) },
    destinationAddress: {
      text: 'ip6 daddr',
      type: IPV6_ADDRESS,
      load: payload(NETWORK_HEADER, 24, IPV6_ADDRESS),
      typeOf: typeOfPayload(Protocol.IP6, 9),
    },
    originalSourceAddress: {
      text: 'ct original ip6 saddr',
      type: IPV6_ADDRESS,
      load: original(CtKey.SRC_IP6),
    },
    originalDestinationAddress: {
      text: 'ct original ip6 daddr',
      type: IPV6_ADDRESS,
      load: original(CtKey.DST_IP6),
    },
  },
};

/** TCP, UDP and others: the protocol above IP. */
export const L4_PROTOCOL: Field = {
  text: 'meta l4proto',
  type: INET_PROTOCOL,
  load: meta(MetaKey.L4PROTO),
  typeOf: record([0, ExpressionKind.META], [1, record([0, MetaKey.L4PROTO])]),
};

/** Bits of the packet's mark. The first field of a key: nft takes it elsewhere in parentheses only, and prints none. */
export function markField(mask: number): Field {
  return {
    text: `meta mark and 0x${mask.toString(16)}`,
    type: MARK,
    load: (register) => {
      const at = registerNumber(register);
      return [
        expression('meta', { key: MetaKey.MARK, dreg: at }),
        expression('bitwise', {
          sreg: at,
          dreg: at,
          length: 4,
          op: 0,
          mask: hostNumber(mask),
          xor: hostNumber(0),
        }),
      ];
    },
  };
}

export const SOURCE_PORT: Field = {
  text: 'th sport',
  type: INET_SERVICE,
  load: payload(TRANSPORT_HEADER, 0, INET_SERVICE),
};

export const DESTINATION_PORT: Field = {
  text: 'th dport',
  type: INET_SERVICE,
  load: payload(TRANSPORT_HEADER, 2, INET_SERVICE),
  typeOf: typeOfPayload(Protocol.TRANSPORT, 2),
};

export const ORIGINAL_DESTINATION_PORT: Field = {
  text: 'ct original proto-dst',
  type: INET_SERVICE,
  load: original(CtKey.PROTO_DST),
};

/** Where a packet goes: address, protocol and port, in which most sets of service ports are looked up. */
export function vipFields(family: IpFamily): readonly Field[] {
  return [FIELDS[family].destinationAddress, L4_PROTOCOL, DESTINATION_PORT];
}

/** A number from 0 to modulus - 1, plus offset. */
export interface IndexRange {
  readonly modulus: number;
  /** 0 for none. */
  readonly offset: number;
}

const NUMGEN = { 'next in turn': ['inc', 0], random: ['random', 1] } as const;

/** A number drawn by chance, or the next of a counter that the rule keeps. */
export function numberField(kind: keyof typeof NUMGEN, { modulus, offset }: IndexRange): Field {
  const [word, number] = NUMGEN[kind];
  return {
    text: `numgen ${word} mod ${modulus}${offset === 0 ? '' : ` offset ${offset}`}`,
    type: INDEX,
    load: (register) => [
      expression('numgen', { dreg: registerNumber(register), modulus, kind: number, offset }),
    ],
    typeOf: record([0, ExpressionKind.NUMGEN], [1, record([0, number], [1, modulus], [2, offset])]),
  };
}

/** The same on every node, so that nodes agree. */
const HASH_SEED = 0x70656e73;

/** Jenkins' hash of other fields. `round`: another number for each, when the one before led nowhere. */
export function hashField(of: readonly Field[], { modulus, offset }: IndexRange, round = 0): Field {
  const seed = HASH_SEED + round;
  const text = `jhash ${of.map((field) => field.text).join(' . ')} mod ${modulus} seed 0x${seed.toString(16)}`;
  return {
    text: offset === 0 ? text : `${text} offset ${offset}`,
    type: INDEX,
    load: (register, scratch) => {
      const loads: Expression[] = [];
      let word = scratch;
      for (const field of of) {
        loads.push(...field.load(word, word));
        word += wordsOf(field);
      }
      const values = {
        sreg: registerNumber(scratch),
        dreg: registerNumber(register),
        length: (word - scratch) * 4,
      };
      return [...loads, expression('hash', { ...values, modulus, seed, offset, kind: 0 })];
    },
  };
}

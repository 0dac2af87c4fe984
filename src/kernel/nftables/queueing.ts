/**
 * Statements that hand first packets to a program (nfnetlink_queue), no more than it can take, or connections to a port of it, and
 * take back what it has marked them with.
 */
import { type IpAddress, type IpFamily, ipToBytes, joinHostPort } from '../../net/ip.js';
import { FAMILY_NUMBER } from './constants.js';
import { type Expression, expression } from './Expression.js';
import { CtKey, type Field, registerNumber } from './fields.js';
import {
  durationText,
  hostWord,
  load,
  loadMark,
  masked,
  type Statement,
  storeMark,
  textOf,
} from './statements.js';

const FIRST = registerNumber(0);
const EQUAL = 0;
const NOT_EQUAL = 1;
/** IP_CT_NEW and IPS_CONFIRMED, as bits. */
const NEW = 8;
const CONFIRMED = 8;

function bits(key: number, mask: number, comparison: number): Expression[] {
  return [
    expression('ct', { key, dreg: FIRST }),
    masked(4, hostWord(mask), hostWord(0)),
    expression('cmp', { sreg: FIRST, op: comparison, data: hostWord(0) }),
  ];
}

/** Of a connection that nobody has answered yet. */
export const IS_NEW: Statement = { text: 'ct state new', expressions: bits(CtKey.STATE, NEW, NOT_EQUAL) };

/** From who began the connection. Like all `ct`, it does not hold for what is not tracked. */
export const IS_FROM_CLIENT: Statement = {
  text: 'ct direction original',
  expressions: [
    expression('ct', { key: CtKey.DIRECTION, dreg: FIRST }),
    expression('cmp', { sreg: FIRST, op: EQUAL, data: '\0' }),
  ],
};

/** The very first packet of its connection: it has not left the host yet, or reached a socket. */
export const IS_FIRST: Statement = {
  text: 'ct status ! confirmed',
  expressions: bits(CtKey.STATUS, CONFIRMED, EQUAL),
};

/** Takes all bits of a mask away. */
export function maskOutMark(mask: number): Statement {
  const rest = ~mask >>> 0;
  return {
    text: `meta mark set meta mark and 0x${rest.toString(16)}`,
    expressions: [loadMark, masked(4, hostWord(rest), hostWord(0)), storeMark],
  };
}

/** Kernels have nft's own expression (CONFIG_NFT_QUEUE), the target of iptables (CONFIG_NETFILTER_XT_TARGET_NFQUEUE), or both. */
export const QUEUE_WAYS = ['expression', 'target'] as const;
export type QueueBy = (typeof QUEUE_WAYS)[number];

/** NFT_QUEUE_FLAG_BYPASS, NFQ_FLAG_BYPASS; NFT_QUEUE_FLAG_CPU_FANOUT, NFQ_FLAG_CPU_FANOUT. */
const BYPASS = 1;
const BY_PROCESSOR = 2;
const TARGET_REVISION = 3;

/**
 * To a program; where there is none the chain ends as with `accept`. `total`: how many queues from `number` on; each has the packets of
 * some processors.
 */
export function queueTo(number: number, by: QueueBy, total = 1): Statement {
  const flags = total > 1 ? BYPASS | BY_PROCESSOR : BYPASS;
  const text =
    total > 1
      ? `queue flags bypass,fanout to ${number}-${number + total - 1}`
      : `queue flags bypass to ${number}`;
  return queueWith(text, number, by, total, flags);
}

/** To a program alone; where there is none the packet is dropped. */
export function queueOrDrop(number: number, by: QueueBy): Statement {
  return queueWith(`queue to ${number}`, number, by, 1, 0);
}

function queueWith(text: string, number: number, by: QueueBy, total: number, flags: number): Statement {
  if (by === 'expression') return { text, expressions: [expression('queue', { number, total, flags })] };
  // struct xt_NFQ_info_v3: number, how many, flags; padded to 8 bytes.
  const info = String.fromCharCode(...new Uint8Array(Uint16Array.of(number, total, flags, 0).buffer));
  return { text, expressions: [expression('target', { name: 'NFQUEUE', revision: TARGET_REVISION, info })] };
}

/** NFT_DYNSET_OP_UPDATE, NFT_LIMIT_F_INV, and the unit of rates. */
const UPDATE = 1;
const OVER = 1;
const SECOND = 1;

/**
 * What comes to the same key as another packet, and is more than `rate` packets a second and `burst` at once. A `dynamic` set has the
 * keys, each for `seconds` after its last packet; one that finds no room in it is never over the limit.
 */
export function isOverLimit(
  set: string,
  key: readonly Field[],
  { rate, burst, seconds }: { readonly rate: number; readonly burst: number; readonly seconds: number },
): Statement {
  return noteIn(set, key, seconds, {
    text: ` limit rate over ${rate}/second burst ${burst} packets`,
    expression: expression('limit', { rate, unit: SECOND, burst, kind: 0, flags: OVER }),
  });
}

/** Notes the key in a `dynamic` set for `seconds`, with what is asked of `each` key. Where it finds no room the rule ends here. */
export function noteIn(
  set: string,
  key: readonly Field[],
  seconds: number,
  each?: { readonly text: string; readonly expression: Expression },
): Statement {
  return {
    text: `update @${set} { ${textOf(key)} timeout ${durationText(seconds)}${each?.text ?? ''} }`,
    expressions: [
      ...load(key).loads,
      expression('dynset', {
        key: FIRST,
        op: UPDATE,
        timeout: seconds * 1000,
        set,
        ...(each && { each: each.expression }),
      }),
    ],
  };
}

/** Sends the connection to one place. */
export function destinationNatTo(family: IpFamily, address: IpAddress, port: number): Statement {
  const bytes = ipToBytes(address);
  const portRegister = registerNumber(bytes.length / 4);
  return {
    text: `dnat to ${joinHostPort(address, port)}`,
    expressions: [
      expression('immediate', { dreg: FIRST, data: String.fromCharCode(...bytes) }),
      expression('immediate', { dreg: portRegister, data: String.fromCharCode(port >> 8, port & 255) }),
      expression('nat', { kind: 1, family: FAMILY_NUMBER[family], address: FIRST, port: portRegister }),
    ],
  };
}

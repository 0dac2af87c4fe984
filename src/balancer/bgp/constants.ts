/** Numbers of BGP: RFC 4271, 4724, 4760, 6793, 8092, 8203, 8326, 9384. */
import type { IpFamily } from '../../net/ip.js';

export const BGP_PORT = 179;
export const VERSION = 4;
/** Marker, length and type. */
export const HEADER = 19;
export const LONGEST = 4096;

export const MessageType = { OPEN: 1, UPDATE: 2, NOTIFICATION: 3, KEEPALIVE: 4, ROUTE_REFRESH: 5 } as const;

/** Stands for an AS number above 65535 where there are only two bytes. */
export const AS_TRANS = 23_456;

export const CAPABILITY_PARAMETER = 2;
export const Capability = {
  MULTIPROTOCOL: 1,
  ROUTE_REFRESH: 2,
  GRACEFUL_RESTART: 64,
  FOUR_OCTET_AS: 65,
} as const;

/** AFI; the SAFI is always unicast. */
export const AFI: Readonly<Record<IpFamily, number>> = { IPv4: 1, IPv6: 2 };
export const UNICAST = 1;

export const Attribute = {
  ORIGIN: 1,
  AS_PATH: 2,
  NEXT_HOP: 3,
  LOCAL_PREF: 5,
  COMMUNITIES: 8,
  MP_REACH: 14,
  MP_UNREACH: 15,
  AS4_PATH: 17,
  LARGE_COMMUNITIES: 32,
} as const;

export const AttributeFlag = { OPTIONAL: 0x80, TRANSITIVE: 0x40, EXTENDED: 0x10 } as const;

export const AS_SEQUENCE = 2;

/** Of the capability graceful restart. */
export const RESTARTED = 0x8000;
export const LONGEST_RESTART_S = 0xfff;
export const FORWARDING_KEPT = 0x80;

export const ErrorCode = { HEADER: 1, OPEN: 2, UPDATE: 3, HOLD_TIMER: 4, FSM: 5, CEASE: 6 } as const;
export const HeaderError = { NOT_SYNCHRONIZED: 1, LENGTH: 2, TYPE: 3 } as const;
export const OpenError = {
  VERSION: 1,
  PEER_AS: 2,
  IDENTIFIER: 3,
  PARAMETER: 4,
  HOLD_TIME: 6,
  CAPABILITY: 7,
} as const;
export const Cease = {
  SHUTDOWN: 2,
  DECONFIGURED: 3,
  RESET: 4,
  REJECTED: 5,
  COLLISION: 7,
  BFD_DOWN: 10,
} as const;

const NOTIFICATIONS: Readonly<Record<number, readonly [string, Readonly<Record<number, string>>]>> = {
  1: ['message header', { 1: 'not synchronized', 2: 'bad length', 3: 'bad type' }],
  2: [
    'OPEN',
    {
      1: 'unsupported version',
      2: 'bad peer AS',
      3: 'bad identifier',
      4: 'unsupported optional parameter',
      5: 'authentication failure',
      6: 'unacceptable hold time',
      7: 'unsupported capability',
    },
  ],
  3: ['UPDATE', {}],
  4: ['hold timer expired', {}],
  5: ['unexpected message', {}],
  6: [
    'cease',
    {
      1: 'too many prefixes',
      2: 'administrative shutdown',
      3: 'peer deconfigured',
      4: 'administrative reset',
      5: 'connection rejected',
      6: 'configuration changed',
      7: 'connection collision',
      8: 'out of resources',
      10: 'BFD down',
    },
  ],
};

/** `cease: administrative shutdown (6/2)` */
export function notificationText(code: number, subcode: number): string {
  const [what, details] = NOTIFICATIONS[code] ?? ['unknown error', {}];
  const detail = details[subcode];
  return `${what}${detail === undefined ? '' : `: ${detail}`} (${code}/${subcode})`;
}

/** Messages of BGP from bytes. Whatever a peer sends ends in a value or a BgpError, never in another exception. */
import { bytesToIp, type IpAddress, type IpFamily } from '../../net/ip.js';
import {
  AFI,
  CAPABILITY_PARAMETER,
  Capability,
  ErrorCode,
  HEADER,
  HeaderError,
  LONGEST,
  MessageType,
  OpenError,
  RESTARTED,
  UNICAST,
  VERSION,
} from './constants.js';

/** What is wrong with a message, as the NOTIFICATION says it. */
export class BgpError extends Error {
  readonly errorCode: number;
  readonly subcode: number;
  readonly data: Uint8Array;

  constructor(errorCode: number, subcode: number, message: string, data: Uint8Array = new Uint8Array()) {
    super(message);
    this.name = 'BgpError';
    this.errorCode = errorCode;
    this.subcode = subcode;
    this.data = data;
  }
}

export interface BgpMessage {
  readonly type: number;
  readonly body: Uint8Array;
}

export interface PeerOpen {
  readonly asn: number;
  readonly holdTime: number;
  readonly identifier: IpAddress;
  readonly fourOctetAs: boolean;
  /** IPv4 unless it speaks of families and IPv4 is not among them. */
  readonly families: readonly IpFamily[];
  readonly routeRefresh: boolean;
  /** Seconds for which it asks others to keep its routes; undefined: it does not help at restarts. */
  readonly restartSeconds: number | undefined;
  /** Whether it has restarted itself. */
  readonly restarted: boolean;
}

/** Shortest message of each type. */
const SHORTEST: Readonly<Record<number, number>> = {
  [MessageType.OPEN]: 29,
  [MessageType.UPDATE]: 23,
  [MessageType.NOTIFICATION]: 21,
  [MessageType.KEEPALIVE]: 19,
  [MessageType.ROUTE_REFRESH]: 23,
};

/** Bytes after the header. */
const SHORTEST_OPEN = 10;

/** Cuts a stream of bytes into messages. Holds at most one message that is not complete. */
export class MessageStream {
  #rest = new Uint8Array();

  /** The messages that are complete now. Throws BgpError; nothing may be pushed after that. */
  *push(chunk: Uint8Array): Generator<BgpMessage> {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let at = 0;
    while (bytes.length - at >= HEADER) {
      const length = lengthOf(bytes.subarray(at, at + HEADER));
      if (bytes.length - at < length) break;
      const message = { type: bytes[at + 18] ?? 0, body: bytes.slice(at + HEADER, at + length) };
      at += length;
      yield message;
    }
    this.#rest = bytes.slice(at);
  }
}

function lengthOf(header: Uint8Array): number {
  for (let i = 0; i < 16; i++) {
    if (header[i] !== 0xff)
      throw new BgpError(
        ErrorCode.HEADER,
        HeaderError.NOT_SYNCHRONIZED,
        'the marker of a message is not all ones',
      );
  }
  const length = u16(header, 16);
  const type = header[18] ?? 0;
  const shortest = SHORTEST[type];
  if (shortest === undefined)
    throw new BgpError(
      ErrorCode.HEADER,
      HeaderError.TYPE,
      `messages have no type ${type}`,
      Uint8Array.of(type),
    );
  const exact = type === MessageType.KEEPALIVE || type === MessageType.ROUTE_REFRESH;
  if (length < shortest || length > LONGEST || (exact && length !== shortest)) {
    const data = header.slice(16, 18);
    throw new BgpError(
      ErrorCode.HEADER,
      HeaderError.LENGTH,
      `a message of type ${type} has ${length} bytes`,
      data,
    );
  }
  return length;
}

export function decodeOpen(body: Uint8Array): PeerOpen {
  if (body.length < SHORTEST_OPEN)
    throw new BgpError(ErrorCode.HEADER, HeaderError.LENGTH, 'the OPEN is cut short');
  if (body[0] !== VERSION)
    throw new BgpError(
      ErrorCode.OPEN,
      OpenError.VERSION,
      `the peer speaks BGP ${body[0]}`,
      Uint8Array.of(0, VERSION),
    );
  const holdTime = u16(body, 3);
  if (holdTime === 1 || holdTime === 2)
    throw new BgpError(ErrorCode.OPEN, OpenError.HOLD_TIME, `a hold time of ${holdTime} s is too short`);
  const identifier = body.slice(5, 9);
  if (identifier.every((byte) => byte === 0))
    throw new BgpError(ErrorCode.OPEN, OpenError.IDENTIFIER, 'the identifier of the peer is 0.0.0.0');
  const open: Mutable<PeerOpen> = {
    asn: u16(body, 1),
    holdTime,
    identifier: bytesToIp(identifier),
    fourOctetAs: false,
    families: [],
    routeRefresh: false,
    restartSeconds: undefined,
    restarted: false,
  };
  const families = new Set<IpFamily>();
  readParameters(body, open, families);
  return { ...open, families: families.size > 0 ? [...families] : ['IPv4'] };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function readParameters(body: Uint8Array, open: Mutable<PeerOpen>, families: Set<IpFamily>): void {
  const malformed = () =>
    new BgpError(ErrorCode.OPEN, 0, 'the optional parameters of the OPEN are malformed');
  // RFC 9072: an extended form that no peer needs towards us; 255 in both places announces it.
  const extended = body[9] === 255 && body[10] === 255;
  const total = extended ? u16(body, 11) : (body[9] ?? 0);
  const end = (extended ? 13 : 10) + total;
  if (end !== body.length) throw malformed();
  const head = extended ? 3 : 2;
  for (let at = extended ? 13 : 10; at < end; ) {
    if (at + head > end) throw malformed();
    const type = body[at] ?? 0;
    const length = extended ? u16(body, at + 1) : (body[at + 1] ?? 0);
    const value = body.subarray(at + head, at + head + length);
    at += head + length;
    if (at > end) throw malformed();
    if (type !== CAPABILITY_PARAMETER)
      throw new BgpError(ErrorCode.OPEN, OpenError.PARAMETER, `optional parameter ${type} is not known`);
    if (!readCapabilities(value, open, families)) throw malformed();
  }
}

/** False when they are malformed. Those that are not known are nobody's concern (RFC 5492). */
function readCapabilities(list: Uint8Array, open: Mutable<PeerOpen>, families: Set<IpFamily>): boolean {
  for (let at = 0; at < list.length; ) {
    if (at + 2 > list.length) return false;
    const code = list[at];
    const value = list.subarray(at + 2, at + 2 + (list[at + 1] ?? 0));
    if (value.length !== list[at + 1]) return false;
    at += 2 + value.length;
    if (code === Capability.MULTIPROTOCOL && value.length === 4 && value[3] === UNICAST) {
      const family = familyOfAfi(u16(value, 0));
      if (family) families.add(family);
    } else if (code === Capability.FOUR_OCTET_AS && value.length === 4) {
      open.fourOctetAs = true;
      open.asn = u16(value, 0) * 0x1_0000 + u16(value, 2);
    } else if (code === Capability.ROUTE_REFRESH) open.routeRefresh = true;
    else if (code === Capability.GRACEFUL_RESTART && value.length >= 2) {
      open.restartSeconds = u16(value, 0) & 0xfff;
      open.restarted = (u16(value, 0) & RESTARTED) !== 0;
    }
  }
  return true;
}

/** Of a ROUTE-REFRESH; undefined for a family that is not ours. */
export function decodeRouteRefresh(body: Uint8Array): IpFamily | undefined {
  return body[3] === UNICAST ? familyOfAfi(u16(body, 0)) : undefined;
}

export function decodeNotification(body: Uint8Array): { readonly code: number; readonly subcode: number } {
  return { code: body[0] ?? 0, subcode: body[1] ?? 0 };
}

/** Routes of the peer are of no interest; lengths that do not add up mean that the rest cannot be trusted either. */
export function checkUpdate(body: Uint8Array): void {
  const withdrawn = u16(body, 0);
  const attributes = u16(body, 2 + withdrawn);
  if (2 + withdrawn + 2 + attributes > body.length)
    throw new BgpError(ErrorCode.UPDATE, 1, 'the lengths in an UPDATE do not add up');
}

function familyOfAfi(afi: number): IpFamily | undefined {
  if (afi === AFI.IPv4) return 'IPv4';
  return afi === AFI.IPv6 ? 'IPv6' : undefined;
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

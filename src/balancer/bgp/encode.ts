/** Messages of BGP as bytes. Pure. */
import { type Cidr, type IpAddress, type IpFamily, ipToBytes, prefixLength } from '../../net/ip.js';
import type { CommunityValue } from '../objects/communities.js';
import { ByteWriter } from './ByteWriter.js';
import {
  AFI,
  AS_SEQUENCE,
  AS_TRANS,
  Attribute,
  AttributeFlag,
  CAPABILITY_PARAMETER,
  Capability,
  FORWARDING_KEPT,
  HEADER,
  LONGEST,
  LONGEST_RESTART_S,
  MessageType,
  RESTARTED,
  UNICAST,
  VERSION,
} from './constants.js';

export interface GracefulRestart {
  /** Whether this is the first session since the process started. */
  readonly restarted: boolean;
  /** Seconds for which the peer keeps routes without a session. */
  readonly seconds: number;
}

export interface OpenFields {
  readonly asn: number;
  /** Seconds. */
  readonly holdTime: number;
  /** IPv4 address as name of this router. */
  readonly identifier: IpAddress;
  /** Undefined: an OPEN without optional parameters, for peers that refuse them. */
  readonly capabilities:
    | { readonly families: readonly IpFamily[]; readonly gracefulRestart: GracefulRestart | undefined }
    | undefined;
}

/** What routes have in common that go into one UPDATE. */
export interface RouteAttributes {
  readonly nextHop: IpAddress;
  /** Undefined: none is sent; iBGP then says 100. */
  readonly localPref: number | undefined;
  readonly communities: readonly CommunityValue[];
}

/** How a session writes its UPDATEs. */
export interface UpdateForm {
  readonly asn: number;
  readonly internal: boolean;
  /** Whether both sides have AS numbers of four bytes. */
  readonly fourOctetAs: boolean;
}

const DEFAULT_LOCAL_PREF = 100;
const MARKER = new Uint8Array(16).fill(0xff);

export function encodeOpen({ asn, holdTime, identifier, capabilities }: OpenFields): Uint8Array {
  const parameters = new ByteWriter();
  if (capabilities) {
    const list = new ByteWriter();
    const { families, gracefulRestart } = capabilities;
    for (const family of families) list.u8(Capability.MULTIPROTOCOL).u8(4).u16(AFI[family]).u8(0).u8(UNICAST);
    list.u8(Capability.ROUTE_REFRESH).u8(0);
    list.u8(Capability.FOUR_OCTET_AS).u8(4).u32(asn);
    if (gracefulRestart) {
      list.u8(Capability.GRACEFUL_RESTART).u8(2 + 4 * families.length);
      const seconds = Math.min(gracefulRestart.seconds, LONGEST_RESTART_S);
      list.u16((gracefulRestart.restarted ? RESTARTED : 0) | seconds);
      for (const family of families) list.u16(AFI[family]).u8(UNICAST).u8(FORWARDING_KEPT);
    }
    parameters.u8(CAPABILITY_PARAMETER).u8(list.length).bytes(list.take());
  }
  const body = new ByteWriter()
    .u8(VERSION)
    .u16(asn > 0xffff ? AS_TRANS : asn)
    .u16(holdTime)
    .bytes(ipToBytes(identifier))
    .u8(parameters.length)
    .bytes(parameters.take());
  return message(MessageType.OPEN, body.take());
}

export function encodeKeepalive(): Uint8Array {
  return message(MessageType.KEEPALIVE, new Uint8Array());
}

export function encodeNotification(
  code: number,
  subcode: number,
  data: Uint8Array = new Uint8Array(),
): Uint8Array {
  return message(MessageType.NOTIFICATION, new ByteWriter().u8(code).u8(subcode).bytes(data).take());
}

/** RFC 4724: everything of the family has been sent. */
export function encodeEndOfRib(family: IpFamily): Uint8Array {
  if (family === 'IPv4') return message(MessageType.UPDATE, new Uint8Array(4));
  const body = new ByteWriter().u16(0).u16(6);
  body.u8(AttributeFlag.OPTIONAL).u8(Attribute.MP_UNREACH).u8(3).u16(AFI.IPv6).u8(UNICAST);
  return message(MessageType.UPDATE, body.take());
}

/** As many messages as it takes. Prefixes are all of one family. */
export function encodeAnnouncements(
  prefixes: readonly Cidr[],
  attributes: RouteAttributes,
  family: IpFamily,
  form: UpdateForm,
): readonly Uint8Array[] {
  const fixed = encodeAttributes(attributes, family, form);
  const messages: Uint8Array[] = [];
  if (family === 'IPv4') {
    // Some peers offer IPv4 in MP_REACH and fail at it: the field of RFC 4271 works everywhere.
    for (const part of packed(prefixes, LONGEST - HEADER - 4 - fixed.length)) {
      const body = new ByteWriter().u16(0).u16(fixed.length).bytes(fixed).bytes(part);
      messages.push(message(MessageType.UPDATE, body.take()));
    }
    return messages;
  }
  const nextHop = ipToBytes(attributes.nextHop);
  const overhead = 4 + 5 + nextHop.length;
  for (const part of packed(prefixes, LONGEST - HEADER - 4 - fixed.length - overhead)) {
    // First of all: RFC 7606, 5.1.
    const reach = new ByteWriter()
      .u16(AFI.IPv6)
      .u8(UNICAST)
      .u8(nextHop.length)
      .bytes(nextHop)
      .u8(0)
      .bytes(part);
    const all = new ByteWriter();
    putAttribute(all, AttributeFlag.OPTIONAL, Attribute.MP_REACH, reach.take());
    all.bytes(fixed);
    messages.push(
      message(MessageType.UPDATE, new ByteWriter().u16(0).u16(all.length).bytes(all.take()).take()),
    );
  }
  return messages;
}

export function encodeWithdrawals(prefixes: readonly Cidr[], family: IpFamily): readonly Uint8Array[] {
  if (family === 'IPv4') {
    return packed(prefixes, LONGEST - HEADER - 4).map((part) =>
      message(MessageType.UPDATE, new ByteWriter().u16(part.length).bytes(part).u16(0).take()),
    );
  }
  return packed(prefixes, LONGEST - HEADER - 4 - 7).map((part) => {
    const attributes = new ByteWriter();
    const unreach = new ByteWriter().u16(AFI.IPv6).u8(UNICAST).bytes(part);
    putAttribute(attributes, AttributeFlag.OPTIONAL, Attribute.MP_UNREACH, unreach.take());
    return message(
      MessageType.UPDATE,
      new ByteWriter().u16(0).u16(attributes.length).bytes(attributes.take()).take(),
    );
  });
}

/** In ascending order of their types; without MP_REACH. */
function encodeAttributes(
  { nextHop, localPref, communities }: RouteAttributes,
  family: IpFamily,
  { asn, internal, fourOctetAs }: UpdateForm,
): Uint8Array {
  const { TRANSITIVE, OPTIONAL } = AttributeFlag;
  const out = new ByteWriter();
  // IGP.
  putAttribute(out, TRANSITIVE, Attribute.ORIGIN, Uint8Array.of(0));
  putAttribute(out, TRANSITIVE, Attribute.AS_PATH, asPath(asn, internal, fourOctetAs));
  if (family === 'IPv4') putAttribute(out, TRANSITIVE, Attribute.NEXT_HOP, ipToBytes(nextHop));
  if (internal) {
    const value = new ByteWriter().u32(localPref ?? DEFAULT_LOCAL_PREF).take();
    putAttribute(out, TRANSITIVE, Attribute.LOCAL_PREF, value);
  }
  const standard = new ByteWriter();
  const large = new ByteWriter();
  for (const community of communities) {
    if (community.type === 'standard') standard.u32(community.value);
    else for (const value of community.values) large.u32(value);
  }
  if (standard.length > 0) putAttribute(out, OPTIONAL | TRANSITIVE, Attribute.COMMUNITIES, standard.take());
  if (!internal && !fourOctetAs && asn > 0xffff)
    putAttribute(out, OPTIONAL | TRANSITIVE, Attribute.AS4_PATH, asPath(asn, false, true));
  if (large.length > 0) putAttribute(out, OPTIONAL | TRANSITIVE, Attribute.LARGE_COMMUNITIES, large.take());
  return out.take();
}

function asPath(asn: number, internal: boolean, fourOctets: boolean): Uint8Array {
  if (internal) return new Uint8Array();
  const path = new ByteWriter().u8(AS_SEQUENCE).u8(1);
  if (fourOctets) path.u32(asn);
  else path.u16(asn > 0xffff ? AS_TRANS : asn);
  return path.take();
}

function putAttribute(out: ByteWriter, flags: number, type: number, value: Uint8Array): void {
  if (value.length > 255)
    out
      .u8(flags | AttributeFlag.EXTENDED)
      .u8(type)
      .u16(value.length);
  else out.u8(flags).u8(type).u8(value.length);
  out.bytes(value);
}

/** Prefixes as NLRI (length in bits, then as many bytes as hold them), cut into parts of at most `room` bytes. */
function packed(prefixes: readonly Cidr[], room: number): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  let part = new ByteWriter();
  for (const prefix of prefixes) {
    const length = prefixLength(prefix);
    const size = Math.ceil(length / 8);
    if (part.length + 1 + size > room) {
      parts.push(part.take());
      part = new ByteWriter();
    }
    const address = prefix.slice(0, prefix.indexOf('/')) as IpAddress;
    part.u8(length).bytes(ipToBytes(address).subarray(0, size));
  }
  if (part.length > 0) parts.push(part.take());
  return parts;
}

function message(type: number, body: Uint8Array): Uint8Array {
  return new ByteWriter()
    .bytes(MARKER)
    .u16(HEADER + body.length)
    .u8(type)
    .bytes(body)
    .take();
}

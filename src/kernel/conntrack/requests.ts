/** The messages that ask ctnetlink for connections. */
import { type IpAddress, type IpFamily, ipToBytes } from '../../net/ip.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { beginNetfilterMessage } from '../netlink/nfnetlink.js';
import type { ConntrackEntry, ConntrackTuple } from './ConntrackEntry.js';
import {
  EntryAttribute,
  FilterAttribute,
  FilterFlag,
  IpAttribute,
  MessageType,
  ProtocolAttribute,
  TupleAttribute,
} from './constants.js';

/** AF_INET, AF_INET6. */
const FAMILY: Readonly<Record<IpFamily, number>> = { IPv4: 2, IPv6: 10 };

export interface ConntrackFilter {
  readonly family: IpFamily;
  readonly protocol: number;
  /** Of these ConntrackStatus bits, which are set. */
  readonly status?: { readonly mask: number; readonly value: number };
  /** Whom NAT sent the connection to. In a dumpRequest() only if kernelSelectsReplySource(). */
  readonly replySource?: { readonly address: IpAddress; readonly port: number };
}

/**
 * Whether a kernel, by its release ('6.1.0-13-amd64'), can select entries by the source of their replies. All take such
 * a filter since 5.8, but at first they read the reply tuple with the flags of the original one and so found nothing;
 * 6.1 does it right. Of IPv6 addresses they select all but the wanted one (ctnetlink_filter_match_tuple(), 6.18 too).
 */
export function kernelSelectsReplySource(release: string, family: IpFamily): boolean {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return family === 'IPv4' && (Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 1));
}

/**
 * A dump of what matches. Kernels before 5.8 do not know CTA_FILTER, nor CTA_STATUS_MASK for some time after; they
 * ignore it and send more.
 */
export function dumpRequest(filter: ConntrackFilter): MessageWriter {
  const { family, protocol, status, replySource } = filter;
  const writer = new MessageWriter(256);
  beginNetfilterMessage(writer, MessageType.GET, 0, FAMILY[family]);
  const tuple = writer.openNest(
    replySource === undefined ? EntryAttribute.TUPLE_ORIGINAL : EntryAttribute.TUPLE_REPLY,
  );
  if (replySource !== undefined) {
    const ip = writer.openNest(TupleAttribute.IP);
    writer.raw(IpAttribute.V4_SOURCE, ipToBytes(replySource.address));
    writer.closeNest(ip);
  }
  const proto = writer.openNest(TupleAttribute.PROTOCOL);
  writer.u8(ProtocolAttribute.NUMBER, protocol);
  if (replySource !== undefined) writer.u16be(ProtocolAttribute.SOURCE_PORT, replySource.port);
  writer.closeNest(proto);
  writer.closeNest(tuple);

  const flags = writer.openNest(EntryAttribute.FILTER);
  if (replySource === undefined) writer.u32(FilterAttribute.ORIGINAL_FLAGS, FilterFlag.PROTOCOL_NUMBER);
  else {
    const { IP_SOURCE, PROTOCOL_NUMBER, PROTOCOL_SOURCE_PORT } = FilterFlag;
    writer.u32(FilterAttribute.REPLY_FLAGS, IP_SOURCE | PROTOCOL_NUMBER | PROTOCOL_SOURCE_PORT);
  }
  writer.closeNest(flags);
  if (status !== undefined) {
    writer.u32be(EntryAttribute.STATUS, status.value);
    writer.u32be(EntryAttribute.STATUS_MASK, status.mask);
  }
  writer.endMessage();
  return writer;
}

/**
 * A dump of the connections of all families and protocols, of those ConntrackStatus bits. Kernels that do not know
 * CTA_STATUS_MASK send all.
 */
export function dumpAllRequest(status: ConntrackFilter['status']): MessageWriter {
  const writer = new MessageWriter(64);
  beginNetfilterMessage(writer, MessageType.GET, 0, 0);
  if (status !== undefined) {
    writer.u32be(EntryAttribute.STATUS, status.value);
    writer.u32be(EntryAttribute.STATUS_MASK, status.mask);
  }
  writer.endMessage();
  return writer;
}

/** Whether an entry is what was asked for, for kernels that ignore part of the question. */
export function matches(filter: ConntrackFilter, entry: ConntrackEntry): boolean {
  const { family, protocol, status, replySource } = filter;
  return (
    entry.original.family === family &&
    entry.original.protocol === protocol &&
    (status === undefined || (entry.status & status.mask) === status.value) &&
    (replySource === undefined ||
      (entry.reply.source === replySource.address && entry.reply.sourcePort === replySource.port))
  );
}

/** Adds the removal of this very entry: not of a later one with the same tuples (CTA_ID). */
export function putDelete(writer: MessageWriter, { original, id, zone }: ConntrackEntry): void {
  beginNetfilterMessage(writer, MessageType.DELETE, 0, FAMILY[original.family]);
  putTuple(writer, original);
  // A kernel without CONFIG_NF_CONNTRACK_ZONES refuses the attribute, whatever its value.
  if (zone !== 0) writer.u16be(EntryAttribute.ZONE, zone);
  writer.u32be(EntryAttribute.ID, id);
  writer.endMessage();
}

/** Asks for the one entry that has this tuple in either direction: the kernel looks up both alike. */
export function getRequest(tuple: ConntrackTuple): MessageWriter {
  const writer = new MessageWriter(256);
  beginNetfilterMessage(writer, MessageType.GET, 0, FAMILY[tuple.family]);
  putTuple(writer, tuple);
  writer.endMessage();
  return writer;
}

/** As CTA_TUPLE_ORIG. */
function putTuple(writer: MessageWriter, tuple: ConntrackTuple): void {
  const whole = writer.openNest(EntryAttribute.TUPLE_ORIGINAL);
  const ip = writer.openNest(TupleAttribute.IP);
  const v4 = tuple.family === 'IPv4';
  writer.raw(v4 ? IpAttribute.V4_SOURCE : IpAttribute.V6_SOURCE, ipToBytes(tuple.source));
  writer.raw(v4 ? IpAttribute.V4_DESTINATION : IpAttribute.V6_DESTINATION, ipToBytes(tuple.destination));
  writer.closeNest(ip);
  const protocol = writer.openNest(TupleAttribute.PROTOCOL);
  writer.u8(ProtocolAttribute.NUMBER, tuple.protocol);
  writer.u16be(ProtocolAttribute.SOURCE_PORT, tuple.sourcePort);
  writer.u16be(ProtocolAttribute.DESTINATION_PORT, tuple.destinationPort);
  writer.closeNest(protocol);
  writer.closeNest(whole);
}

/** The header that the messages of NETLINK_NETFILTER share, and the brackets of its transactions. */
import { BatchType, MessageFlag } from './constants.js';
import type { MessageWriter } from './MessageWriter.js';

/** AF_UNSPEC; families are AF_* or NFPROTO_* numbers. */
const UNSPEC = 0;
/** NFNL_BATCH_GENID. */
const BATCH_GENERATION = 1;

/** The type of a message: which part of netfilter, and which message of that part. */
export function netfilterType(subsystem: number, message: number): number {
  return (subsystem << 8) | message;
}

/** Begins a message of type netfilterType(…); attributes come next, then endMessage(). */
export function beginNetfilterMessage(writer: MessageWriter, type: number, flags = 0, family = UNSPEC): void {
  writer.beginMessage(type, flags);
  putNetfilterHeader(writer, family, 0);
}

/** As beginNetfilterMessage(), for parts of netfilter that number what they have: queues, log groups. */
export function beginNetfilterRequest(writer: MessageWriter, type: number, resource: number): void {
  writer.beginMessage(type, 0);
  putNetfilterHeader(writer, UNSPEC, resource);
}

/**
 * Begins a transaction. With `generation`, the kernel refuses it (ERESTART) when the rule set has changed since that
 * generation was read.
 */
export function beginTransaction(writer: MessageWriter, subsystem: number, generation?: number): void {
  writer.beginMessage(BatchType.BEGIN);
  putNetfilterHeader(writer, UNSPEC, subsystem);
  if (generation !== undefined) writer.u32be(BATCH_GENERATION, generation);
  writer.endMessage();
}

/**
 * Ends a transaction. Only the last message before the end asks for an answer: one for each message would
 * overflow the receive buffer (ENOBUFS), and not every kernel answers the end itself.
 */
export function endTransaction(writer: MessageWriter, subsystem: number): void {
  writer.addFlags(MessageFlag.ACK);
  writer.beginMessage(BatchType.END);
  putNetfilterHeader(writer, UNSPEC, subsystem);
  writer.endMessage();
}

/** struct nfgenmsg. */
function putNetfilterHeader(writer: MessageWriter, family: number, resource: number): void {
  writer.putU8(family);
  writer.putU8(0);
  writer.putU16be(resource);
}

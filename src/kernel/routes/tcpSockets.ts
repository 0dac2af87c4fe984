/** Sockets of this network namespace, whoever has them, by their own address (linux/inet_diag.h, linux/sock_diag.h). */
import { type Cidr, familyOf, type IpAddress, ipToBytes, prefixLength } from '../../net/ip.js';
import { NetlinkProtocol } from '../netlink/constants.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { FAMILY } from './constants.js';

/** SOCK_DIAG_BY_FAMILY, IPPROTO_TCP, INET_DIAG_REQ_BYTECODE. */
const BY_FAMILY = 20;
const TCP = 6;
const BYTECODE = 1;
/** Bits of TCP_* (include/net/tcp_states.h): all but TIME_WAIT (6), CLOSE (7) and LISTEN (10); 12 is SYN_RECV before there is a socket. */
const CARRYING = [1, 2, 3, 4, 5, 8, 9, 11, 12].reduce((bits, state) => bits | (1 << state), 0);
/** struct inet_diag_sockid, bytes: nothing is asked of it. */
const SOCKET_ID = 48;
/** INET_DIAG_BC_S_COND; struct inet_diag_bc_op, struct inet_diag_hostcond without its address, bytes. */
const SOURCE_IS = 7;
const OPERATION = 4;
const CONDITION = 8;

/**
 * How many TCP connections end here at an address of the range, those without a process among them. Rejects with NetlinkError, where the
 * kernel does not tell.
 */
export async function countTcpSockets(range: Cidr): Promise<number> {
  const first = ipToBytes(range.slice(0, range.indexOf('/')) as IpAddress);
  const family = FAMILY[familyOf(range)];
  const writer = new MessageWriter(128);
  writer.beginMessage(BY_FAMILY);
  for (const byte of [family, TCP, 0, 0]) writer.putU8(byte);
  writer.putU32(CARRYING);
  writer.putBytes(new Uint8Array(SOCKET_ID));
  writer.raw(BYTECODE, sourceWithin(family, prefixLength(range), first));
  writer.endMessage();
  const found = await NetlinkChannel.using(NetlinkProtocol.SOCK_DIAG, (channel) =>
    channel.dump(`list the TCP sockets at ${range}`, writer),
  );
  return found.length;
}

/** A program of one operation: u8 code, u8 length, u16 where it goes on when it is not so (past the end: no); u8 family, u8 bits, i32 port. */
function sourceWithin(family: number, bits: number, first: Uint8Array): Uint8Array {
  const length = OPERATION + CONDITION + first.length;
  const writer = new MessageWriter(length);
  for (const byte of [SOURCE_IS, length]) writer.putU8(byte);
  writer.putU16(length + OPERATION);
  for (const byte of [family, bits, 0, 0]) writer.putU8(byte);
  // Any port: -1.
  writer.putU32(0xff_ff_ff_ff);
  writer.putBytes(first);
  return writer.bytes();
}

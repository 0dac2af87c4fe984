/** A channel for transactions: each is one message, which the kernel takes whole or not at all. */
import type { Clock } from '../../../time/Clock.js';
import { NetlinkProtocol } from '../../netlink/constants.js';
import { NetlinkChannel } from '../../netlink/NetlinkChannel.js';

/** The largest transaction must fit: 20 MB for half a million endpoints. */
const SEND_BUFFER_BYTES = 256 * 1024 * 1024;
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;

/** The caller's to close. Throws as NetlinkChannel.open(). */
export function openNftablesChannel(clock?: Clock): NetlinkChannel {
  return NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
    sendBufferBytes: SEND_BUFFER_BYTES,
    receiveBufferBytes: RECEIVE_BUFFER_BYTES,
    ...(clock ? { clock } : {}),
  });
}

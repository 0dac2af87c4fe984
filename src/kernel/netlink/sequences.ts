/** Sequence numbers, by which the kernel's answers find their requests. */
import { MESSAGE_HEADER, MessageFlag } from './constants.js';
import { HOST_IS_LITTLE_ENDIAN } from './hostOrder.js';

/** The largest sequence number. */
export const MAX_SEQUENCE = 0xffff_ffff;

/**
 * Numbers messages in place, from `first` on. Returns the index of the last one that asks for an answer
 * (NLM_F_ACK), -1 without one. Throws RangeError on a message that was not ended.
 */
export function setSequences(messages: Uint8Array, first: number): number {
  const view = new DataView(messages.buffer, messages.byteOffset, messages.length);
  let index = 0;
  let acknowledged = -1;
  for (let at = 0; at < messages.length; index++) {
    const length = view.getUint32(at, HOST_IS_LITTLE_ENDIAN);
    if (length < MESSAGE_HEADER) throw new RangeError(`netlink message ${index} was not ended`);
    view.setUint32(at + 8, first + index, HOST_IS_LITTLE_ENDIAN);
    if ((view.getUint16(at + 6, HOST_IS_LITTLE_ENDIAN) & MessageFlag.ACK) !== 0) acknowledged = index;
    at += length;
  }
  return acknowledged;
}

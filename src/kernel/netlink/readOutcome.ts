/** The outcome that NLMSG_ERROR and NLMSG_DONE carry: struct nlmsgerr, or an int, then attributes (extended ACK). */
import { constants } from 'node:os';
import { AttributeReader } from './AttributeReader.js';
import { ControlType, ErrorAttribute, MESSAGE_HEADER, MessageFlag } from './constants.js';
import { HOST_IS_LITTLE_ENDIAN } from './hostOrder.js';
import type { Message } from './Message.js';

export interface MessageOutcome {
  /** 0, or a negative error number; EBADMSG when the message itself makes no sense. */
  readonly errno: number;
  readonly kernelText?: string;
  /** Bytes from the beginning of the refused message. */
  readonly offset?: number;
}

const ERRNO_SIZE = 4;

/** Of a message whose type is ControlType.ERROR or DONE. */
export function readOutcome(message: Message): MessageOutcome {
  const { payload } = message;
  if (payload.length < ERRNO_SIZE) return { errno: -constants.errno.EBADMSG };
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const errno = view.getInt32(0, HOST_IS_LITTLE_ENDIAN);
  if ((message.flags & MessageFlag.ACK_ATTRIBUTES) === 0) return { errno };
  const attributes = new AttributeReader(payload, attributesOffset(message, view));
  let kernelText: string | undefined;
  let offset: number | undefined;
  while (attributes.next()) {
    if (attributes.type === ErrorAttribute.MESSAGE) kernelText = attributes.string();
    else if (attributes.type === ErrorAttribute.OFFSET) offset = attributes.u32();
  }
  return {
    errno,
    ...(kernelText !== undefined && { kernelText }),
    ...(offset !== undefined && { offset }),
  };
}

function attributesOffset(message: Message, view: DataView): number {
  if (message.type === ControlType.DONE) return ERRNO_SIZE;
  const capped = (message.flags & MessageFlag.CAPPED) !== 0 || view.byteLength < ERRNO_SIZE + MESSAGE_HEADER;
  const requestSize = capped ? MESSAGE_HEADER : view.getUint32(ERRNO_SIZE, HOST_IS_LITTLE_ENDIAN);
  return ERRNO_SIZE + requestSize + (-requestSize & 3);
}

/** Received netlink messages: finding them in what was received. Nothing here trusts a length that it reads. */
import { AttributeReader } from './AttributeReader.js';
import { MESSAGE_HEADER } from './constants.js';
import { HOST_IS_LITTLE_ENDIAN } from './hostOrder.js';

export class Message {
  readonly type: number;
  /** MessageFlag bits. */
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  /** What follows the netlink header: the family's own header, then attributes. */
  readonly payload: Uint8Array;

  constructor(header: DataView, payload: Uint8Array) {
    this.type = header.getUint16(4, HOST_IS_LITTLE_ENDIAN);
    this.flags = header.getUint16(6, HOST_IS_LITTLE_ENDIAN);
    this.sequence = header.getUint32(8, HOST_IS_LITTLE_ENDIAN);
    this.portId = header.getUint32(12, HOST_IS_LITTLE_ENDIAN);
    this.payload = payload;
  }

  /** The attributes after a family header of that many bytes. Malformed when the message is shorter than that. */
  attributes(familyHeader: number): AttributeReader {
    return new AttributeReader(this.payload, familyHeader);
  }
}

export interface ParsedMessages {
  /** All up to the first fault. They share the memory of the bytes they were read from. */
  readonly messages: readonly Message[];
  /** What is wrong with the bytes, when something is. */
  readonly fault?: string;
}

/** The messages of one datagram. */
export function parseMessages(datagram: Uint8Array): ParsedMessages {
  const messages: Message[] = [];
  for (let at = 0; at < datagram.length; ) {
    const left = datagram.length - at;
    if (left < MESSAGE_HEADER) {
      return { messages, fault: `netlink message header of ${left} bytes, it has ${MESSAGE_HEADER}` };
    }
    const header = new DataView(datagram.buffer, datagram.byteOffset + at, MESSAGE_HEADER);
    const length = header.getUint32(0, HOST_IS_LITTLE_ENDIAN);
    if (length < MESSAGE_HEADER || length > left) {
      return { messages, fault: `netlink message of ${length} bytes with ${left} bytes left` };
    }
    messages.push(new Message(header, datagram.subarray(at + MESSAGE_HEADER, at + length)));
    at += (length + 3) & ~3;
  }
  return { messages };
}

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

  /** The netlink header is at `at` of `view`. */
  constructor(view: DataView, payload: Uint8Array, at = 0) {
    this.type = view.getUint16(at + 4, HOST_IS_LITTLE_ENDIAN);
    this.flags = view.getUint16(at + 6, HOST_IS_LITTLE_ENDIAN);
    this.sequence = view.getUint32(at + 8, HOST_IS_LITTLE_ENDIAN);
    this.portId = view.getUint32(at + 12, HOST_IS_LITTLE_ENDIAN);
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
  const fault = new DatagramParser(datagram).parse(0, datagram.length, (message) => messages.push(message));
  return fault === undefined ? { messages } : { messages, fault };
}

/** Reads the messages of datagrams that lie one after the other: answers come by the hundred thousand, so each costs one object of ours. */
export class DatagramParser {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Takes all messages of the datagram that is from `start` to `end`, up to the first fault. Returns what is wrong with the bytes, if anything is. */
  parse(start: number, end: number, take: (message: Message) => void): string | undefined {
    for (let at = start; at < end; ) {
      const left = end - at;
      if (left < MESSAGE_HEADER) return `netlink message header of ${left} bytes, it has ${MESSAGE_HEADER}`;
      const length = this.#view.getUint32(at, HOST_IS_LITTLE_ENDIAN);
      if (length < MESSAGE_HEADER || length > left)
        return `netlink message of ${length} bytes with ${left} bytes left`;
      const next = at + ((length + 3) & ~3);
      take(new Message(this.#view, this.#bytes.subarray(at + MESSAGE_HEADER, at + length), at));
      at = next;
    }
    return undefined;
  }
}

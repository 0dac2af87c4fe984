/**
 * Writes netlink messages, one after the other, into one buffer that grows: what one sendmsg carries.
 *
 * Sequence numbers and port ids stay 0; NetlinkChannel fills them in when it sends. Numbers are taken modulo their
 * width. No call allocates, unless the buffer grows or a string is not ASCII.
 */
import { ATTRIBUTE_HEADER, MAX_ATTRIBUTE, MESSAGE_HEADER, MessageFlag, NESTED } from './constants.js';
import { HOST_IS_LITTLE_ENDIAN } from './hostOrder.js';

const INITIAL_BYTES = 4096;
const NONE = -1;
const utf8 = new TextEncoder();

export class MessageWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;
  #messageCount = 0;
  /** Where the message being written begins, or the last one. */
  #message = NONE;

  constructor(initialBytes = INITIAL_BYTES) {
    this.#bytes = new Uint8Array(Math.max(initialBytes, MESSAGE_HEADER));
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  get messageCount(): number {
    return this.#messageCount;
  }

  /** What was written. A view: the next write may change it or leave it behind. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Forgets all messages and keeps the memory. */
  clear(): void {
    this.#length = 0;
    this.#messageCount = 0;
    this.#message = NONE;
  }

  /** Begins a message; NLM_F_REQUEST is added. The family's own header comes next, by the `put` methods. */
  beginMessage(type: number, flags = 0): void {
    const at = this.#claim(MESSAGE_HEADER);
    this.#message = at;
    this.#messageCount++;
    this.#view.setUint32(at, 0);
    this.#view.setUint16(at + 4, type, HOST_IS_LITTLE_ENDIAN);
    this.#view.setUint16(at + 6, flags | MessageFlag.REQUEST, HOST_IS_LITTLE_ENDIAN);
    this.#view.setUint32(at + 8, 0);
    this.#view.setUint32(at + 12, 0);
  }

  endMessage(): void {
    this.#view.setUint32(this.#message, this.#length - this.#message, HOST_IS_LITTLE_ENDIAN);
  }

  /** Adds flags to the last message. */
  addFlags(flags: number): void {
    if (this.#message === NONE) throw new RangeError('there is no netlink message yet');
    const present = this.#view.getUint16(this.#message + 6, HOST_IS_LITTLE_ENDIAN);
    this.#view.setUint16(this.#message + 6, present | flags, HOST_IS_LITTLE_ENDIAN);
  }

  /** Fixed parts of a message, outside attributes; the caller keeps them aligned to 4 bytes. */
  putU8(value: number): void {
    const at = this.#claim(1);
    this.#bytes[at] = value;
  }

  /** Host byte order. */
  putU16(value: number): void {
    const at = this.#claim(2);
    this.#view.setUint16(at, value, HOST_IS_LITTLE_ENDIAN);
  }

  putU16be(value: number): void {
    const at = this.#claim(2);
    this.#view.setUint16(at, value);
  }

  /** Host byte order. */
  putU32(value: number): void {
    const at = this.#claim(4);
    this.#view.setUint32(at, value, HOST_IS_LITTLE_ENDIAN);
  }

  putBytes(value: Uint8Array): void {
    const at = this.#claim(value.length);
    this.#bytes.set(value, at);
  }

  /** An attribute without content, whose presence is the message. */
  flag(type: number): void {
    this.#attribute(type, 0);
  }

  u8(type: number, value: number): void {
    const at = this.#attribute(type, 1);
    this.#bytes[at] = value;
  }

  /** Host byte order. */
  u16(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, HOST_IS_LITTLE_ENDIAN);
  }

  u16be(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value);
  }

  /** Host byte order. */
  u32(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, HOST_IS_LITTLE_ENDIAN);
  }

  u32be(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value);
  }

  /** Whole numbers from 0 to 2^53 - 1. */
  u64be(type: number, value: number): void {
    const at = this.#attribute(type, 8);
    this.#view.setUint32(at, value / 0x1_0000_0000);
    this.#view.setUint32(at + 4, value);
  }

  /** UTF-8 with a NUL after it. */
  string(type: number, value: string): void {
    if (!isAscii(value)) {
      this.raw(type, utf8.encode(`${value}\0`));
      return;
    }
    const at = this.#attribute(type, value.length + 1);
    for (let i = 0; i < value.length; i++) this.#bytes[at + i] = value.charCodeAt(i);
    this.#bytes[at + value.length] = 0;
  }

  /** Bytes given as a string of one character a byte. */
  latin1(type: number, value: string): void {
    const at = this.#attribute(type, value.length);
    for (let i = 0; i < value.length; i++) this.#bytes[at + i] = value.charCodeAt(i);
  }

  raw(type: number, value: Uint8Array): void {
    const at = this.#attribute(type, value.length);
    this.#bytes.set(value, at);
  }

  /**
   * Begins an attribute of attributes. Returns its place: `writer.length - place` is its size so far, to be kept
   * below MAX_ATTRIBUTE.
   */
  openNest(type: number): number {
    const place = this.#claim(ATTRIBUTE_HEADER);
    this.#view.setUint16(place + 2, type | NESTED, HOST_IS_LITTLE_ENDIAN);
    return place;
  }

  /** Throws RangeError when the attribute became larger than MAX_ATTRIBUTE. */
  closeNest(place: number): void {
    this.#setAttributeLength(place, this.#length - place);
  }

  /** An attribute whose content is yet to be written; returns where that goes. The padding is cleared. */
  #attribute(type: number, contentLength: number): number {
    const place = this.#claim(ATTRIBUTE_HEADER + ((contentLength + 3) & ~3));
    this.#setAttributeLength(place, ATTRIBUTE_HEADER + contentLength);
    this.#view.setUint16(place + 2, type, HOST_IS_LITTLE_ENDIAN);
    if ((contentLength & 3) !== 0) this.#view.setUint32(this.#length - 4, 0);
    return place + ATTRIBUTE_HEADER;
  }

  #setAttributeLength(place: number, length: number): void {
    if (length > MAX_ATTRIBUTE) {
      throw new RangeError(`a netlink attribute of ${length} bytes is larger than ${MAX_ATTRIBUTE} bytes`);
    }
    this.#view.setUint16(place, length, HOST_IS_LITTLE_ENDIAN);
  }

  /** Room at the end, with whatever was there before; returns where it begins. */
  #claim(size: number): number {
    this.#grow(size);
    const at = this.#length;
    this.#length += size;
    return at;
  }

  #grow(size: number): void {
    const needed = this.#length + size;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}

/**
 * Walks over received netlink attributes:
 *
 *     while (reader.next()) {
 *       if (reader.type === NFACCT_NAME) name = reader.string();
 *     }
 *     if (reader.malformed) …
 *
 * Never throws. A value whose length is not what is asked for reads as 0, an empty string or no bytes, and makes the
 * reader and those it came from malformed, which ends the walk.
 */
import { ATTRIBUTE_HEADER, ATTRIBUTE_TYPE_MASK } from './constants.js';
import { HOST_IS_LITTLE_ENDIAN } from './hostOrder.js';

export class AttributeReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #parent: AttributeReader | undefined;
  /** Content of the present attribute. */
  #start: number;
  #end: number;
  #next: number;
  #type = 0;
  #malformed = false;

  /** The attributes from byte `offset` to the end. */
  constructor(bytes: Uint8Array, offset = 0, parent?: AttributeReader) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#parent = parent;
    this.#start = offset;
    this.#end = offset;
    this.#next = offset;
    if (offset > bytes.length) this.#fail();
  }

  /** Goes to the next attribute; false at the end and at a fault. */
  next(): boolean {
    if (this.#malformed || this.#next >= this.#bytes.length) return false;
    const place = this.#next;
    const left = this.#bytes.length - place;
    const length = left < ATTRIBUTE_HEADER ? 0 : this.#view.getUint16(place, HOST_IS_LITTLE_ENDIAN);
    if (length < ATTRIBUTE_HEADER || length > left) return this.#fail();
    this.#type = this.#view.getUint16(place + 2, HOST_IS_LITTLE_ENDIAN) & ATTRIBUTE_TYPE_MASK;
    this.#start = place + ATTRIBUTE_HEADER;
    this.#end = place + length;
    this.#next = place + ((length + 3) & ~3);
    return true;
  }

  /** Without the flag bits. */
  get type(): number {
    return this.#type;
  }

  /** Bytes of content. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Whether anything read so far, here or in the nested attributes, was not well formed. */
  get malformed(): boolean {
    return this.#malformed;
  }

  u8(): number {
    return this.#has(1) ? this.#view.getUint8(this.#start) : 0;
  }

  /** Host byte order. */
  u16(): number {
    return this.#has(2) ? this.#view.getUint16(this.#start, HOST_IS_LITTLE_ENDIAN) : 0;
  }

  u16be(): number {
    return this.#has(2) ? this.#view.getUint16(this.#start) : 0;
  }

  /** Host byte order. */
  u32(): number {
    return this.#has(4) ? this.#view.getUint32(this.#start, HOST_IS_LITTLE_ENDIAN) : 0;
  }

  u32be(): number {
    return this.#has(4) ? this.#view.getUint32(this.#start) : 0;
  }

  /** Host byte order. Exact up to 2^53, rounded above. */
  u64(): number {
    return this.#has(8) ? Number(this.#view.getBigUint64(this.#start, HOST_IS_LITTLE_ENDIAN)) : 0;
  }

  /** Exact up to 2^53, rounded above. */
  u64be(): number {
    if (!this.#has(8)) return 0;
    return this.#view.getUint32(this.#start) * 0x1_0000_0000 + this.#view.getUint32(this.#start + 4);
  }

  /** UTF-8 up to the first NUL or the end. */
  string(): string {
    const nul = this.#bytes.indexOf(0, this.#start);
    const end = nul < 0 || nul > this.#end ? this.#end : nul;
    return Buffer.from(
      this.#bytes.buffer,
      this.#bytes.byteOffset + this.#start,
      end - this.#start,
    ).toString();
  }

  /** The content as a string of one character a byte. */
  latin1(): string {
    let text = '';
    for (let i = this.#start; i < this.#end; i++) text += String.fromCharCode(this.#bytes[i] ?? 0);
    return text;
  }

  /** A view of the received memory. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** The attributes inside the present one. */
  children(): AttributeReader {
    return new AttributeReader(this.bytes(), 0, this);
  }

  #has(size: number): boolean {
    return this.length === size || this.#fail();
  }

  #fail(): false {
    this.#malformed = true;
    if (this.#parent !== undefined) this.#parent.#fail();
    return false;
  }
}

/** The attributes of a message, by type: the first of each. */
import { AttributeReader } from '../../../src/kernel/netlink/AttributeReader.js';
import { NETFILTER_HEADER } from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';

export class Attributes {
  readonly #found = new Map<number, Uint8Array>();

  constructor(reader: AttributeReader) {
    while (reader.next()) if (!this.#found.has(reader.type)) this.#found.set(reader.type, reader.bytes());
  }

  static of(message: Message): Attributes {
    return new Attributes(message.attributes(NETFILTER_HEADER));
  }

  static in(bytes: Uint8Array): Attributes {
    return new Attributes(new AttributeReader(bytes));
  }

  has(type: number): boolean {
    return this.#found.has(type);
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#found.get(type);
  }

  nested(type: number): Attributes | undefined {
    const bytes = this.#found.get(type);
    return bytes && Attributes.in(bytes);
  }

  /** The elements of a list, each the content of an attribute. */
  list(type: number): readonly { readonly type: number; readonly bytes: Uint8Array }[] {
    const items: { type: number; bytes: Uint8Array }[] = [];
    const reader = new AttributeReader(this.#found.get(type) ?? new Uint8Array());
    while (reader.next()) items.push({ type: reader.type, bytes: reader.bytes() });
    return items;
  }

  /** Without the NUL at its end. */
  string(type: number): string | undefined {
    const bytes = this.#found.get(type);
    if (!bytes) return undefined;
    const nul = bytes.indexOf(0);
    return Buffer.from(bytes.subarray(0, nul < 0 ? bytes.length : nul)).toString();
  }

  /** In network order. */
  u32(type: number): number | undefined {
    const bytes = this.#found.get(type);
    if (bytes?.length !== 4) return undefined;
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
  }

  u64(type: number): number | undefined {
    const bytes = this.#found.get(type);
    if (bytes?.length !== 8) return undefined;
    return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
  }
}

/** Bytes as a string of one character each. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

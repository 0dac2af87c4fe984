/** Elements that are wanted, by the bytes of their keys: in a few pieces of memory, however many they are. */
import type { Elements } from '../elements.js';

/** FNV-1a. */
const HASH_BASIS = 0x811c9dc5;
const HASH_PRIME = 0x01000193;

/** What became of a wanted element. */
const Found = { NOT: 0, SAME: 1, CHANGED: 2 } as const;

/** Of two with one key, the second counts as missing. */
export class ElementIndex {
  readonly #keys: Packed;
  readonly #values: Packed;
  /** Position + 1 by hash; 0 is free. */
  readonly #slots: Int32Array;
  readonly #found: Uint8Array;

  constructor({ keys, values }: Elements) {
    this.#keys = pack(keys);
    this.#values = pack(values);
    this.#found = new Uint8Array(keys.length);
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * keys.length + 2)));
    for (let i = 0; i < keys.length; i++) this.#insert(i);
  }

  /** Notes that the kernel has an element. False when nobody wants its key. */
  see(
    bytes: Uint8Array,
    keyStart: number,
    keyLength: number,
    valueStart: number,
    valueLength: number,
  ): boolean {
    const at = this.#find(bytes, keyStart, keyLength);
    if (at < 0) return false;
    const same = isAt(this.#values, at, bytes, valueStart, valueLength);
    this.#found[at] = same ? Found.SAME : Found.CHANGED;
    return true;
  }

  /** The same, of binary strings. */
  seeText(key: string, value: string): boolean {
    const bytes = Buffer.from(key + value, 'latin1');
    return this.see(bytes, 0, key.length, key.length, value.length);
  }

  /** What was not seen, and what was seen with another value. */
  rest(): { readonly missing: readonly number[]; readonly changed: readonly number[] } {
    const [missing, changed]: [number[], number[]] = [[], []];
    for (let i = 0; i < this.#found.length; i++) {
      if (this.#found[i] === Found.NOT) missing.push(i);
      else if (this.#found[i] === Found.CHANGED) changed.push(i);
    }
    return { missing, changed };
  }

  #insert(position: number): void {
    const { bytes, starts } = this.#keys;
    const start = starts[position] ?? 0;
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (
      let slot = hash(bytes, start, (starts[position + 1] ?? 0) - start) & mask;
      ;
      slot = (slot + 1) & mask
    ) {
      if (slots[slot] !== 0) continue;
      slots[slot] = position + 1;
      return;
    }
  }

  /** -1 when there is none. The first that was inserted comes first. */
  #find(bytes: Uint8Array, start: number, length: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hash(bytes, start, length) & mask; ; slot = (slot + 1) & mask) {
      const position = (slots[slot] ?? 0) - 1;
      if (position < 0 || isAt(this.#keys, position, bytes, start, length)) return position;
    }
  }
}

/** Binary strings one after the other: the one at i is from starts[i] to starts[i + 1]. */
interface Packed {
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
}

function pack(texts: readonly string[]): Packed {
  const starts = new Uint32Array(texts.length + 1);
  let end = 0;
  for (const [i, text] of texts.entries()) {
    end += text.length;
    starts[i + 1] = end;
  }
  return { bytes: Buffer.from(texts.join(''), 'latin1'), starts };
}

/** A set has no values: its elements have one of no bytes. */
function isAt(packed: Packed, position: number, bytes: Uint8Array, start: number, length: number): boolean {
  const first = packed.starts[position] ?? 0;
  if ((packed.starts[position + 1] ?? 0) - first !== length) return false;
  for (let i = 0; i < length; i++) if (packed.bytes[first + i] !== bytes[start + i]) return false;
  return true;
}

function hash(bytes: Uint8Array, start: number, length: number): number {
  let value = HASH_BASIS;
  for (let i = start; i < start + length; i++) value = Math.imul(value ^ (bytes[i] ?? 0), HASH_PRIME);
  // The last bytes, which differ most, would otherwise decide only over low bits.
  return (value ^ (value >>> 15)) >>> 0;
}

/**
 * What the elements of a set come to, in whatever order they are met: how many there are, and sums of two hashes of each. Two sets whose
 * digests are equal have the same elements, but for one chance in 2^64: whoever compares tables of 100,000 elements keeps none of them.
 * It is no proof against whoever chooses elements to deceive, which takes root.
 */
export interface DigestOfElements {
  readonly count: number;
  /** Numbers of 32 bits. */
  readonly first: number;
  readonly second: number;
}

const NOTHING: DigestOfElements = { count: 0, first: 0, second: 0 };
/** Odd numbers of 32 bits, as MurmurHash3 has them. */
const FACTOR = 0xcc9e2d51;
const OTHER_FACTOR = 0x1b873593;
const MIX = 0x85ebca6b;
const OTHER_MIX = 0xc2b2ae35;
const BEGIN = 0x9747b28c | 0;

export class ElementDigest implements DigestOfElements {
  count = 0;
  #first = 0;
  #second = 0;

  get first(): number {
    return this.#first >>> 0;
  }

  get second(): number {
    return this.#second >>> 0;
  }

  /** Binary strings; `value` '' for a set. */
  add(key: string, value: string): void {
    let a = BEGIN;
    let b = BEGIN;
    // In one function, as this runs for each byte of a large table.
    for (let i = 0; i < key.length; i++) {
      const byte = key.charCodeAt(i);
      a = Math.imul(a ^ byte, FACTOR);
      a ^= a >>> 15;
      b = Math.imul(b + byte, OTHER_FACTOR);
      b ^= b >>> 13;
    }
    a = Math.imul(a ^ key.length, MIX);
    b = Math.imul(b + key.length, OTHER_MIX);
    for (let i = 0; i < value.length; i++) {
      const byte = value.charCodeAt(i);
      a = Math.imul(a ^ byte, FACTOR);
      a ^= a >>> 15;
      b = Math.imul(b + byte, OTHER_FACTOR);
      b ^= b >>> 13;
    }
    this.#sum(a ^ value.length, b + value.length);
  }

  /** The same of bytes. The value goes on with `moreLength` bytes from `moreStart` on. */
  see(
    bytes: Uint8Array,
    keyStart: number,
    keyLength: number,
    valueStart: number,
    valueLength: number,
    moreStart = 0,
    moreLength = 0,
  ): void {
    let a = BEGIN;
    let b = BEGIN;
    for (let i = keyStart, end = keyStart + keyLength; i < end; i++) {
      const byte = bytes[i] ?? 0;
      a = Math.imul(a ^ byte, FACTOR);
      a ^= a >>> 15;
      b = Math.imul(b + byte, OTHER_FACTOR);
      b ^= b >>> 13;
    }
    a = Math.imul(a ^ keyLength, MIX);
    b = Math.imul(b + keyLength, OTHER_MIX);
    for (let i = valueStart, end = valueStart + valueLength; i < end; i++) {
      const byte = bytes[i] ?? 0;
      a = Math.imul(a ^ byte, FACTOR);
      a ^= a >>> 15;
      b = Math.imul(b + byte, OTHER_FACTOR);
      b ^= b >>> 13;
    }
    for (let i = moreStart, end = moreStart + moreLength; i < end; i++) {
      const byte = bytes[i] ?? 0;
      a = Math.imul(a ^ byte, FACTOR);
      a ^= a >>> 15;
      b = Math.imul(b + byte, OTHER_FACTOR);
      b ^= b >>> 13;
    }
    const length = valueLength + moreLength;
    this.#sum(a ^ length, b + length);
  }

  equals({ count, first, second }: DigestOfElements = NOTHING): boolean {
    return this.count === count && this.first === first && this.second === second;
  }

  toJSON(): DigestOfElements {
    const { count, first, second } = this;
    return { count, first, second };
  }

  #sum(a: number, b: number): void {
    this.count++;
    this.#first = (this.#first + mixed(a)) | 0;
    this.#second = (this.#second + mixed(b ^ mixed(a + 1))) | 0;
  }
}

/** The end of MurmurHash3. */
function mixed(hash: number): number {
  let value = hash ^ (hash >>> 16);
  value = Math.imul(value, MIX);
  value ^= value >>> 13;
  value = Math.imul(value, OTHER_MIX);
  return value ^ (value >>> 16);
}

/** sfc32 (Chris Doty-Humphrey, public domain), the engine's generator: native/service/pick.h. Not for secrets. */
export class Sfc32 {
  #a: number;
  #b = 0x9e3779b9 | 0;
  #c = 0x243f6a88;
  #counter = 1;

  /** `seed`: 32 bits. */
  constructor(seed: number) {
    this.#a = seed | 0;
    // So that seeds that are close together do not begin alike.
    for (let i = 0; i < 12; i++) this.next();
  }

  /** 0 .. 2³²-1. */
  next(): number {
    const out = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + out) | 0;
    return out >>> 0;
  }

  /** 0 .. end-1, for `end` up to 2³²: the upper half of the product of 64 bits. */
  below(end: number): number {
    const drawn = this.next();
    // In halves, because only 53 bits of a product are exact.
    const upper = (drawn >>> 16) * end;
    const lower = (drawn & 0xffff) * end;
    return Math.floor((upper + Math.floor(lower / 0x10000)) / 0x10000);
  }
}

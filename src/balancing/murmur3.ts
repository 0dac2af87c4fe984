/** MurmurHash3_x86_32 of an ASCII text. Public domain, Austin Appleby, smhasher. */
const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

/** 0 .. 2³²-1. The same on every machine and Node version: nodes must agree on whom a client belongs to. */
export function murmur3(text: string, seed: number): number {
  let hash = seed;
  const whole = text.length - (text.length % 4);
  for (let i = 0; i < whole; i += 4) {
    hash = rotated(hash ^ scrambled(word(text, i, 4)), 13);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  hash ^= scrambled(word(text, whole, text.length - whole));
  return finished(hash ^ text.length);
}

/** Little endian. */
function word(text: string, start: number, bytes: number): number {
  let value = 0;
  for (let i = 0; i < bytes; i++) value |= (text.charCodeAt(start + i) & 0xff) << (8 * i);
  return value;
}

function scrambled(value: number): number {
  return Math.imul(rotated(Math.imul(value, C1), 15), C2);
}

function rotated(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** Lets every bit of the input change every bit of the result. */
function finished(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

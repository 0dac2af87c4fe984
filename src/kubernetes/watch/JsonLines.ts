/** Cuts a stream of bytes into lines of JSON, whatever the chunks are. A last line without its end is no line. */
import { PenstockError } from '../../errors.js';

const NEWLINE = 10;
/** Bytes. etcd takes objects up to 1.5 MiB; what is far beyond is no object. */
export const LONGEST_OBJECT = 32 * 1024 * 1024;

export class JsonLines {
  #begun: Uint8Array[] = [];
  #length = 0;

  /** The lines that end within the chunk. Throws when a line is too long to be an object. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end));
      const text = joined(this.#begun);
      if (text !== '') lines.push(text);
      this.#begun = [];
      this.#length = 0;
      start = end + 1;
    }
    // A copy: the chunk may be a small part of a large buffer.
    if (start < chunk.length) this.#keep(Uint8Array.prototype.slice.call(chunk, start));
    return lines;
  }

  #keep(part: Uint8Array): void {
    this.#length += part.length;
    if (this.#length > LONGEST_OBJECT) throw tooLong();
    this.#begun.push(part);
  }
}

export function joined(parts: readonly Uint8Array[]): string {
  const [only] = parts;
  if (parts.length === 1 && only) return Buffer.from(only.buffer, only.byteOffset, only.length).toString();
  return Buffer.concat(parts).toString();
}

export function tooLong(): PenstockError {
  return new PenstockError('PENSTOCK_API_OBJECT_TOO_LONG', 'the API server sent an object of over 32 MiB', {
    remedy: 'Check what answers at this address; etcd holds no object of that size.',
  });
}

/** Files as a tar archive (POSIX ustar): enough for names of up to 100 characters. */

export interface TarFile {
  readonly name: string;
  readonly content: Buffer;
}

const BLOCK = 512;
const MODE = 0o600;

/** `time`: seconds since the epoch, of all files. */
export function tar(files: readonly TarFile[], time: number): Buffer {
  const parts = files.flatMap(({ name, content }) => [
    header(name, content.length, time),
    content,
    Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, size: number, time: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`;
  block.write(name, 0, 100, 'latin1');
  block.write(octal(MODE, 7), 100, 'latin1');
  block.write(octal(0, 7), 108, 'latin1');
  block.write(octal(0, 7), 116, 'latin1');
  block.write(octal(size, 11), 124, 'latin1');
  block.write(octal(time, 11), 136, 'latin1');
  // The sum is made with blanks in its own place.
  block.write(' '.repeat(8), 148, 'latin1');
  block.write('0', 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

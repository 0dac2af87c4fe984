/** A file that somebody names, which may as well be a device without end or a pipe that nobody writes to. */
import { closeSync, constants, fstatSync, openSync, readlinkSync, readSync, type Stats } from 'node:fs';
import { isatty } from 'node:tty';

/** Milliseconds to wait for whoever writes: to a named pipe that nobody has open, and between two pieces of any other. */
interface Patience {
  readonly writerMs: number;
  readonly pieceMs: number;
}

const OF_COMMANDS: Patience = { writerMs: 5000, pieceMs: 60_000 };
const LOOK_EVERY_MS = 20;

/**
 * The bytes of a file, or of a pipe as in `<(…)` and /dev/stdin: at most `most` + 1, so that what is longer than `most` is
 * seen to be. Throws as readFileSync(), for devices other than terminals, and for pipes into which nobody writes.
 */
export function readAtMost(path: string, most: number, patience = OF_COMMANDS): Buffer {
  // Whoever opens a pipe otherwise waits for a writer, as long as it takes.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    if (stats.isFile()) return readPieces(file, most, stats.size, () => 'end');
    return readPieces(file, most, 0, waiting(file, stats, patience));
  } finally {
    closeSync(file);
  }
}

/** The bytes of a regular file, which is never waited for. Throws as readAtMost(), and for all that is no file. */
export function readFileAtMost(path: string, most: number): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile() && !stats.isDirectory()) throw new Error('it is no regular file');
    return readPieces(file, most, stats.size, () => 'end');
  } finally {
    closeSync(file);
  }
}

/** What to do when there is nothing to read: `ended` by the writer, or not yet. May throw instead. */
type OnNothing = (ended: boolean, bytesRead: number) => 'end' | 'again';

function readPieces(file: number, most: number, expected: number, onNothing: OnNothing): Buffer {
  const SMALLEST = 64 * 1024;
  let bytes = Buffer.allocUnsafe(Math.min(most, Math.max(expected, SMALLEST)) + 1);
  let end = 0;
  while (end <= most) {
    if (end === bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(most + 1, 2 * bytes.length));
      bytes.copy(larger);
      bytes = larger;
    }
    const got = readPiece(file, bytes, end);
    if (got !== undefined && got > 0) end += got;
    else if (onNothing(got === 0, end) === 'end') break;
  }
  return bytes.subarray(0, end);
}

/** Undefined: nothing is there yet. */
function readPiece(file: number, bytes: Buffer, at: number): number | undefined {
  try {
    return readSync(file, bytes, at, bytes.length - at, null);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

function waiting(file: number, stats: Stats, { writerMs, pieceMs }: Patience): OnNothing {
  const isTerminal = isatty(file);
  // /dev/null is a device, and empty.
  if (
    stats.isBlockDevice() ||
    (stats.isCharacterDevice() && !isTerminal && readPiece(file, Buffer.alloc(1), 0) !== 0)
  )
    throw new Error('it is a device, not a file');
  // A pipe of the shell has had its writer; one with a name may be opened before it.
  const isNamed = stats.isFIFO() && readlinkSync(`/proc/self/fd/${file}`).startsWith('/');
  let waited = 0;
  let before = 0;
  return (ended, bytesRead) => {
    if (bytesRead > before) waited = 0;
    before = bytesRead;
    if (ended && !(isNamed && bytesRead === 0)) return 'end';
    const waitMs = ended ? writerMs : pieceMs;
    if (!isTerminal && waited >= waitMs)
      throw new Error(`it is a pipe, and nothing was written to it for ${waitMs / 1000} s`);
    waited += LOOK_EVERY_MS;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY_MS);
    return 'again';
  };
}

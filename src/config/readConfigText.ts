/** The text of a configuration, which may come out of a pipe, so no more of it is read than a configuration can have: /dev/zero has no end. */
import { closeSync, openSync, readSync } from 'node:fs';
import { LONGEST } from './file/ConfigDocument.js';

/** Throws as readFileSync() does. What is longer than LONGEST is cut, and still too long. */
export function readConfigText(path: string): string {
  const file = openSync(path, 'r');
  try {
    // A character has up to four bytes.
    const bytes = Buffer.alloc(4 * LONGEST + 4);
    let end = 0;
    for (let got = -1; got !== 0 && end < bytes.length; end += got)
      got = readSync(file, bytes, end, bytes.length - end, null);
    return bytes.toString('utf8', 0, end);
  } finally {
    closeSync(file);
  }
}

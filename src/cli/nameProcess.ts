/** How `ps` and `top` show this process: by default as `node`. */
import { writeFileSync } from 'node:fs';
import { PROGRAM } from '../host/lockHolder.js';
import { printable } from '../net/printable.js';

export function nameProcess(argv: readonly string[]): void {
  process.title = printable([PROGRAM, ...argv].join(' '));
  try {
    // The title is cut to 15 bytes for it: `penstock run --`.
    writeFileSync('/proc/self/comm', PROGRAM);
  } catch {
    // Without /proc nobody sees it either.
  }
}

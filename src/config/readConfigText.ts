/** The text of a configuration, which may come out of a pipe, so no more of it is read than a configuration can have. */
import { readAtMost, readFileAtMost } from '../readAtMost.js';
import { LONGEST } from './file/ConfigDocument.js';

/** Bytes. A character has up to four. */
const MOST = 4 * LONGEST;

/** Throws as readAtMost() does. What is longer than LONGEST is cut, and still too long. */
export function readConfigText(path: string): string {
  return readAtMost(path, MOST).toString('utf8');
}

/** The same of a regular file, for whoever cannot wait for a pipe. Throws as readFileAtMost() does. */
export function readConfigFile(path: string): string {
  return readFileAtMost(path, MOST).toString('utf8');
}

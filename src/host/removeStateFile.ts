import { rmSync } from 'node:fs';
import { messageOf, PenstockError } from '../errors.js';

/** A file of /run/penstock; that it is not there is no fault. Throws PENSTOCK_STATE_UNWRITABLE. */
export function removeStateFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (cause) {
    throw new PenstockError('PENSTOCK_STATE_UNWRITABLE', `${path} cannot be removed: ${messageOf(cause)}`, {
      cause,
      remedy: 'Call it as root, with /run/penstock where the agent has it, and writable.',
    });
  }
}

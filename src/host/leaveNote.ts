/**
 * A note in /run/penstock that the agent of this network namespace is to leave the node to another proxy. It outlives the agent: one
 * that starts again is still to leave. It goes with `penstock leave --withdraw`, and when the machine starts anew.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { messageOf, PenstockError } from '../errors.js';
import { leaveNote, STATE_FOLDER } from '../kernel/host/stateFiles.js';
import { removeStateFile } from './removeStateFile.js';

export function hasLeaveNote(): boolean {
  return existsSync(leaveNote());
}

/** Throws PENSTOCK_STATE_UNWRITABLE. */
export function writeLeaveNote(): void {
  try {
    mkdirSync(STATE_FOLDER, { recursive: true, mode: 0o755 });
    writeFileSync(leaveNote(), '', { mode: 0o600 });
  } catch (cause) {
    throw new PenstockError('PENSTOCK_STATE_UNWRITABLE', `the note cannot be written: ${messageOf(cause)}`, {
      cause,
      remedy: 'Call it as root, with /run/penstock where the agent has it.',
    });
  }
}

/** Throws PENSTOCK_STATE_UNWRITABLE. */
export function removeLeaveNote(): void {
  removeStateFile(leaveNote());
}

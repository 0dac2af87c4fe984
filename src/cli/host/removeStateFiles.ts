import { statSync } from 'node:fs';
import { isLocked } from '../../host/fileLock.js';
import { removeLeaveNote } from '../../host/leaveNote.js';
import { NodeLock } from '../../host/NodeLock.js';
import { removeStateFile } from '../../host/removeStateFile.js';
import { adminSockets, agentNote, STATE_FOLDER, takeoverSocket } from '../../kernel/host/stateFiles.js';
import { adminLock, answers } from '../../observe/admin/AdminServer.js';
import { packageVersion } from '../version.js';

/**
 * What agents of this network namespace left in /run/penstock. For when none runs. `note` of the last one: while rules of its mode are
 * left it must stay, as without it they look like kube-proxy's. Throws PENSTOCK_STATE_UNWRITABLE.
 */
export async function removeStateFiles(note: 'too' | 'stays'): Promise<void> {
  // No folder, or something of somebody else in its place: nothing is ours.
  if (statSync(STATE_FOLDER, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  removeLeaveNote();
  if (note === 'too') removeStateFile(agentNote());
  removeStateFile(takeoverSocket());
  // The first of the admin sockets may be an agent's of another network namespace.
  for (const path of adminSockets()) {
    const lock = adminLock(path);
    // Of an agent that starts the lock is there first, and an older one has none.
    if (isLocked(lock) || (await answers(path))) continue;
    removeStateFile(path);
    removeStateFile(lock);
  }
  const attempt = NodeLock.take(packageVersion());
  if (attempt.type === 'taken') attempt.lock.release();
}

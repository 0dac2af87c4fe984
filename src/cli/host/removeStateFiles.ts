/** What agents of this network namespace left in /run/penstock. For when none runs. */
import { rmSync, statSync } from 'node:fs';
import { removeLeaveNote } from '../../host/leaveNote.js';
import { NodeLock } from '../../host/NodeLock.js';
import { adminSockets, agentNote, STATE_FOLDER, takeoverSocket } from '../../kernel/host/stateFiles.js';
import { answers } from '../../observe/admin/AdminServer.js';
import { packageVersion } from '../version.js';

export async function removeStateFiles(): Promise<void> {
  // No folder, or something of somebody else in its place: nothing is ours.
  if (statSync(STATE_FOLDER, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  removeLeaveNote();
  rmSync(agentNote(), { force: true });
  rmSync(takeoverSocket(), { force: true });
  // The first of the admin sockets may be an agent's of another network namespace.
  for (const path of adminSockets()) if (!(await answers(path))) rmSync(path, { force: true });
  const attempt = NodeLock.take(packageVersion());
  if (attempt.type === 'taken') attempt.lock.release();
}

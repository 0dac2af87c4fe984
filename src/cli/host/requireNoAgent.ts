/** What is removed while an agent runs is there again a second later. */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../errors.js';
import { isStranger, NodeLock, nodeHeld } from '../../host/NodeLock.js';

/** Milliseconds. In mode userspace an agent waits for connections to end, 10 s unless shutdownTimeout says otherwise. */
const LONGEST_END_MS = 60_000;
const LOOK_EVERY_MS = 100;

/** `stop` ends it, as SIGTERM does. Rejects with PENSTOCK_NODE_HELD, which names its pid. */
export async function requireNoAgent(what: 'refuse' | 'stop'): Promise<void> {
  const holder = NodeLock.holder();
  if (holder === undefined) return;
  if (what === 'refuse') throw nodeHeld(holder, 'End it first, or use --stop.');
  if (holder.pid === undefined)
    throw nodeHeld(holder, 'It runs in a container that this process does not see into: delete its pod.');
  // Whatever else has the lock: it is not ours to end.
  if (isStranger(holder)) throw nodeHeld(holder, '');
  process.stdout.write(`stopping ${holder.description}\n`);
  try {
    process.kill(holder.pid, 'SIGTERM');
  } catch (error) {
    throw nodeHeld(holder, `It cannot be ended from here: ${messageOf(error)}.`);
  }
  const deadline = performance.now() + LONGEST_END_MS;
  while (NodeLock.holder() !== undefined) {
    if (performance.now() > deadline)
      throw nodeHeld(holder, `It did not end within ${LONGEST_END_MS / 1000} s.`);
    await sleep(LOOK_EVERY_MS);
  }
}

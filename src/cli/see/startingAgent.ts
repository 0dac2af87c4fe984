/** An agent that starts has the lock of the node before it can be asked, and can be asked before its rules are in force. */
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { NodeLock } from '../../host/NodeLock.js';
import { lockFile } from '../../kernel/host/stateFiles.js';
import type { AgentStatus } from '../../observe/admin/AgentStatus.js';
import { AgentClient } from './AgentClient.js';

/** All in milliseconds. For so long after it took the lock an agent may not have its socket. */
const STARTS_WITHIN = 10_000;
/** An agent that took longer to say nothing hangs: it does not start. */
const HANGS_FROM = 1000;
const PAUSE = 100;
const FIRST_SYNC_WITHIN = 20_000;

/** As AgentClient.find(), but waits for one that has just begun to start. */
export async function findAgent(): Promise<AgentClient | undefined> {
  for (;;) {
    const asked = performance.now();
    const agent = await AgentClient.find();
    if (agent || performance.now() - asked > HANGS_FROM || !isStarting()) return agent;
    await sleep(PAUSE);
  }
}

function isStarting(): boolean {
  const file = statSync(lockFile(), { throwIfNoEntry: false });
  // Whoever takes the lock writes into the file who it is.
  return (
    file !== undefined &&
    Math.abs(Date.now() - file.mtimeMs) < STARTS_WITHIN &&
    NodeLock.holder() !== undefined
  );
}

/** Whether its rules are still to come: neither in force for the first time, nor left to another proxy. */
export function isBeforeFirstSync({ ready, departure }: AgentStatus): boolean {
  return !ready && departure === 'serving';
}

/** The same agent when its first sync is done, or as it is after a while. `say` hears what is waited for, if anything is. */
export async function afterFirstSync(agent: AgentClient, say: (text: string) => void): Promise<AgentClient> {
  if (!isBeforeFirstSync(agent.status)) return agent;
  say(`the agent is before its first sync (${agent.status.waitingFor}): waits for it`);
  let latest = agent;
  const deadline = performance.now() + FIRST_SYNC_WITHIN;
  while (isBeforeFirstSync(latest.status) && performance.now() < deadline) {
    await sleep(PAUSE);
    // One that reads a large cluster may be silent for a while; one that ended is noticed when it is asked more.
    latest = (await AgentClient.find()) ?? latest;
  }
  return latest;
}

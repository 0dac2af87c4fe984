/**
 * Where penstock keeps what must outlive a process, but not the machine; one file of each kind for a network namespace.
 * `penstock cleanup` removes them all.
 */
import { networkNamespaceKey } from './networkNamespaceKey.js';

export const STATE_FOLDER = '/run/penstock';

/** Locked by the agent that serves this network namespace. */
export function lockFile(folder = STATE_FOLDER): string {
  return `${folder}/agent-${networkNamespaceKey()}.lock`;
}

/** The admin socket: the one that everybody knows first; when another agent has it, one of this network namespace. */
export function adminSockets(): readonly string[] {
  return [`${STATE_FOLDER}/agent.sock`, `${STATE_FOLDER}/agent-${networkNamespaceKey()}.sock`];
}

/** How the last agent of this network namespace was called. */
export function agentNote(): string {
  return `${STATE_FOLDER}/agent-${networkNamespaceKey()}.json`;
}

/** Where a successor asks for the listening sockets of mode userspace. */
export function takeoverSocket(): string {
  return `${STATE_FOLDER}/takeover-${networkNamespaceKey()}.sock`;
}

/** There when the agent of this network namespace is to leave the node to another proxy, also one that starts again. */
export function leaveNote(): string {
  return `${STATE_FOLDER}/leave-${networkNamespaceKey()}`;
}

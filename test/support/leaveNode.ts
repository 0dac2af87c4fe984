/** `penstock leave …` as a process, while clients of this one go on. */
import { spawn } from 'node:child_process';
import { PENSTOCK } from './AgentProcess.js';
import { plain } from './iptables.js';

/** Its exit status and what it printed. */
export async function leaveNode(
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(...plain(PENSTOCK, 'leave', ...args));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}

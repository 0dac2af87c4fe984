/** The agent's place in an OOM kill. */
import { readFileSync, writeFileSync } from 'node:fs';
import { messageOf } from '../errors.js';

const OOM_SCORE_ADJ = '/proc/self/oom_score_adj';

/** Lowering it needs CAP_SYS_RESOURCE, which a pod need not have: kubelet sets it for system-node-critical (-997). */
export function setOomScore(wanted: number, say: (text: string) => void): void {
  const present = Number(readFileSync(OOM_SCORE_ADJ, 'utf8'));
  if (present === wanted) return;
  try {
    writeFileSync(OOM_SCORE_ADJ, String(wanted));
  } catch (error) {
    say(
      `oom_score_adj stays ${present} and is not set to ${wanted}: ${messageOf(error)}. ` +
        'Lowering it needs CAP_SYS_RESOURCE; in a pod, the priority class system-node-critical does it',
    );
  }
}

/** The descriptors of another process. */
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** What descriptors of a process lead to, without their numbers: `socket`, `anon_inode:[eventpoll]`. */
function descriptors(pid: number): string[] {
  return spawnSync('ls', ['-l', `/proc/${pid}/fd`], { encoding: 'utf8' })
    .stdout.split('\n')
    .flatMap((line) => / -> (.*)$/.exec(line)?.[1]?.replace(/:\[\d+\]$/, '') ?? [])
    .sort();
}

/** What they lead to, once they are the same for half a second: programs that are started have pipes. */
export async function settledDescriptors(pid: number): Promise<string[]> {
  let last = descriptors(pid);
  for (let same = 0; same < 5; ) {
    await sleep(100);
    const now = descriptors(pid);
    same = now.join() === last.join() ? same + 1 : 0;
    last = now;
  }
  return last;
}

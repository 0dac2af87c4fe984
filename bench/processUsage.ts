/** What a process, its threads and its children have used, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

export interface Usage {
  readonly userMicroseconds: number;
  readonly systemMicroseconds: number;
  readonly residentBytes: number;
}

/** A process that ends meanwhile counts as nothing. */
export function usageOf(pid: number): Usage {
  let [userTicks, systemTicks, residentKib] = [0, 0, 0];
  for (const member of withChildren(pid)) {
    // The name, in brackets, may hold anything; utime and stime are the 12th and 13th field after it, proc(5).
    const stat = read(member, 'stat').split(') ').at(-1)?.split(' ') ?? [];
    userTicks += Number(stat[11] ?? 0);
    systemTicks += Number(stat[12] ?? 0);
    residentKib += Number(/^VmRSS:\s+(\d+) kB$/m.exec(read(member, 'status'))?.[1] ?? 0);
  }
  const microseconds = (ticks: number) => (ticks * 1e6) / TICKS_PER_SECOND;
  return {
    userMicroseconds: microseconds(userTicks),
    systemMicroseconds: microseconds(systemTicks),
    residentBytes: residentKib * 1024,
  };
}

/** Ends a process that we started and what it started. */
export function killWithChildren(pid: number): void {
  for (const member of withChildren(pid)) {
    try {
      process.kill(member, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

function withChildren(pid: number): readonly number[] {
  let threads: readonly string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
  const children = threads.flatMap((thread) => read(pid, `task/${thread}/children`).trim().split(' '));
  return [pid, ...children.filter((text) => text !== '').flatMap((text) => withChildren(Number(text)))];
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

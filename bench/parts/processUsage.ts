/** What a process, its threads and its children have used, and the whole machine, from /proc. */
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
  return {
    userMicroseconds: microseconds(userTicks),
    systemMicroseconds: microseconds(systemTicks),
    residentBytes: residentKib * 1024,
  };
}

/** Processor time of the living threads of a process, to the nanosecond: where a hundredth of a second is too coarse. */
export function threadMicroseconds(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`))
    nanoseconds += Number(read(pid, `task/${thread}/schedstat`).split(' ')[0]);
  return nanoseconds / 1000;
}

/** Processor time of this process and of its children that have ended. */
export function ownMicroseconds(): number {
  const stat = read('self', 'stat').split(') ').at(-1)?.split(' ') ?? [];
  return microseconds([11, 12, 13, 14].reduce((sum, field) => sum + Number(stat[field] ?? 0), 0));
}

/** Processor time of everything on the machine. */
export function busyMicroseconds(): number {
  // user nice system idle iowait irq softirq steal, proc(5); the last is what other machines took.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
    /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]?.split(' ').map(Number) ?? [];
  return microseconds(user + nice + system + irq + softirq + steal);
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

function microseconds(ticks: number): number {
  return (ticks * 1e6) / TICKS_PER_SECOND;
}

function read(pid: number | 'self', file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

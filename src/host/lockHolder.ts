/** Which process has a file locked (flock): the kernel's own word, as seen in this process's pid namespace. */
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';

/** What every penstock calls itself. */
export const PROGRAM = 'penstock';

export interface LockingProcess {
  readonly pid: number;
  /** As `ps -o comm` shows it: at most 15 bytes. */
  readonly program: string;
}

/**
 * Undefined: nobody whom this process can see. Lines of /proc/locks name a device and an inode (`FLOCK  ADVISORY  WRITE 4711
 * 00:19:1234 0 EOF`), but not every file system gives its device number as stat() does. So the file must be among those
 * that the process has open. `proc`: where procfs is.
 */
export function lockHolder(file: string, proc = '/proc'): LockingProcess | undefined {
  try {
    const wanted = statSync(file);
    for (const pid of candidates(readFileSync(`${proc}/locks`, 'utf8'), wanted.ino)) {
      if (hasOpen(`${proc}/${pid}/fd`, wanted))
        return { pid, program: readFileSync(`${proc}/${pid}/comm`, 'utf8').trim() };
    }
  } catch {
    // No /proc/locks, or the process has ended: then nobody is known.
  }
  return undefined;
}

/** Whoever is in another pid namespace has the number 0 there, or -1. */
function candidates(locks: string, inode: number): readonly number[] {
  return locks.split('\n').flatMap((line) => {
    const [, type, , , pid, place] = line.trim().split(/\s+/);
    return type === 'FLOCK' && place?.split(':')[2] === String(inode) && Number(pid) > 0 ? [Number(pid)] : [];
  });
}

/** False also when this process may not look. */
function hasOpen(folder: string, wanted: Pick<Stats, 'dev' | 'ino'>): boolean {
  try {
    return readdirSync(folder).some((name) => {
      const found = statSync(`${folder}/${name}`, { throwIfNoEntry: false });
      return found?.dev === wanted.dev && found.ino === wanted.ino;
    });
  } catch {
    return false;
  }
}

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
 * that the process has open; where this process may not look, the device must be the same. `proc`: where procfs is.
 */
export function lockHolder(file: string, proc = '/proc'): LockingProcess | undefined {
  try {
    const wanted = statSync(file);
    for (const { pid, device, inode } of fileLocks(readFileSync(`${proc}/locks`, 'utf8'))) {
      if (inode !== String(wanted.ino)) continue;
      if (hasOpen(`${proc}/${pid}/fd`, wanted) ?? device === deviceNumber(wanted.dev))
        return { pid, program: readFileSync(`${proc}/${pid}/comm`, 'utf8').trim() };
    }
  } catch {
    // No /proc/locks, or the process has ended: then nobody is known.
  }
  return undefined;
}

interface FileLock {
  readonly pid: number;
  /** `00:19` */
  readonly device: string;
  readonly inode: string;
}

/** Those of flock(). Whoever is in another pid namespace has the number 0 there, or -1, and is left out. */
function fileLocks(text: string): readonly FileLock[] {
  return text.split('\n').flatMap((line) => {
    const [, type, , , pid, place = ''] = line.trim().split(/\s+/);
    const [major = '', minor = '', inode = ''] = place.split(':');
    return type === 'FLOCK' && Number(pid) > 0
      ? [{ pid: Number(pid), device: `${major}:${minor}`, inode }]
      : [];
  });
}

/** Undefined when this process may not look: the other has capabilities that it has not. */
function hasOpen(folder: string, wanted: Pick<Stats, 'dev' | 'ino'>): boolean | undefined {
  try {
    return readdirSync(folder).some((name) => {
      const found = statSync(`${folder}/${name}`, { throwIfNoEntry: false });
      return found?.dev === wanted.dev && found.ino === wanted.ino;
    });
  } catch (error) {
    return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '') ? undefined : false;
  }
}

/** As /proc/locks writes it (`%02x:%02x`), from st_dev (makedev(3)). */
function deviceNumber(dev: number): string {
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  return [major, minor].map((part) => part.toString(16).padStart(2, '0')).join(':');
}

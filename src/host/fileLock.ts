/** Files that one living process has (flock): the kernel lets go of them when it ends, however that ends. */
import { closeSync, constants, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { nativeAddon } from '../kernel/addon/nativeAddon.js';

/** Whether the file is locked now; else it is closed. */
export function lockOrClose(fd: number): boolean {
  let taken = false;
  try {
    taken = nativeAddon().lockFile(fd);
    return taken;
  } finally {
    if (!taken) closeSync(fd);
  }
}

/** Whether somebody has the file; not when it cannot be opened. `flags`: of open(2), besides that it is only read. */
export function isLocked(file: string, flags = constants.O_NOFOLLOW): boolean {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY | flags);
  } catch {
    return false;
  }
  try {
    return !nativeAddon().lockFile(fd);
  } finally {
    closeSync(fd);
  }
}

export function isThatFile(fd: number, file: string): boolean {
  try {
    const [ours, theirs] = [fstatSync(fd), statSync(file)];
    return ours.dev === theirs.dev && ours.ino === theirs.ino;
  } catch {
    return false;
  }
}

/** How to let go of the file, which removes it; undefined: another process has it. Throws what the file system says. */
export function claimFile(file: string): (() => void) | undefined {
  for (;;) {
    const fd = openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    if (!lockOrClose(fd)) return undefined;
    // Whoever had it may have removed the file between our opening and our locking it.
    if (isThatFile(fd, file)) return release(fd, file);
    closeSync(fd);
  }
}

/** Once: the number of a descriptor that was closed is another's soon. */
function release(fd: number, file: string): () => void {
  let isHeld = true;
  return () => {
    if (!isHeld) return;
    isHeld = false;
    rmSync(file, { force: true });
    closeSync(fd);
  };
}

/** Which files root can read when it has no capability to pass over permissions (CAP_DAC_READ_SEARCH): by owner and mode alone. */
import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** As links go: what is longer is a circle. */
const MOST_LINKS = 40;
/** Permissions of owner; those of group and others are three and six bits below. */
const READ = 0o400;
const SEARCH = 0o100;

export interface Reader {
  readonly uid: number;
  readonly gids: readonly number[];
}

/**
 * The first that would be out of reach, and why: `/home/al/config.yaml (/home/al is of user 1000, mode 700)`. Those that are not there
 * count as readable.
 */
export function outOfReach(files: readonly string[], reader: Reader): string | undefined {
  for (const file of files) {
    const obstacle = obstacleTo(resolve(file), reader);
    if (obstacle !== undefined) return obstacle === file ? file : `${file} (${obstacle})`;
  }
  return undefined;
}

/** Follows links as the kernel does, folder by folder. */
function obstacleTo(file: string, reader: Reader): string | undefined {
  const parts = file.split('/').filter((part) => part !== '');
  let at = '/';
  let links = 0;
  for (;;) {
    const part = parts.shift();
    if (part === undefined) return undefined;
    if (!may(reader, lstatSync(at), SEARCH)) return describe(at);
    const path = join(at, part);
    let stats: Stats;
    try {
      stats = lstatSync(path);
    } catch {
      return undefined;
    }
    if (stats.isSymbolicLink()) {
      if (++links > MOST_LINKS) return undefined;
      const target = resolve(at, readlinkSync(path));
      parts.unshift(...target.split('/').filter((each) => each !== ''));
      at = '/';
    } else if (parts.length > 0) at = path;
    else if (!may(reader, stats, stats.isDirectory() ? READ | SEARCH : READ)) return describe(path);
    else return undefined;
  }
}

function may({ uid, gids }: Reader, stats: Stats, wanted: number): boolean {
  const shift = stats.uid === uid ? 0 : gids.includes(stats.gid) ? 3 : 6;
  return ((stats.mode << shift) & wanted) === wanted;
}

function describe(path: string): string {
  const { uid, mode } = lstatSync(path);
  const what = `${path} is of user ${uid}, mode ${(mode & 0o777).toString(8)}`;
  return dirname(path) === path ? path : what;
}

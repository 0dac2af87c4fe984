/** The manifest files below a path, by stat only: what is there, and whether it is what was there before. */
import type { BigIntStats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, extname, join, normalize } from 'node:path';
import { messageOf } from '../../errors.js';

export const MANIFEST_EXTENSIONS: readonly string[] = ['.yaml', '.yml', '.json'];

export interface FoundFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modified: number;
  /** When the file or its content came to be, whichever is longer ago; milliseconds since the epoch. */
  readonly since: number;
  /** Differs whenever the content may differ. */
  readonly stamp: string;
}

/** A folder in which a change is to be looked for. */
export interface FoundFolder {
  readonly path: string;
  /** Differs when another folder has taken the path. */
  readonly identity: string;
}

export interface Unreadable {
  /** A file, or a folder that stands for all files below it. */
  readonly path: string;
  readonly message: string;
}

export interface Found {
  /** In path order. */
  readonly files: readonly FoundFile[];
  readonly folders: readonly FoundFolder[];
  readonly unreadable: readonly Unreadable[];
  /** Names of files that are no manifests, for a person who expected them to be read. */
  readonly others: readonly string[];
}

const NO_FILE = 'is neither a file nor a folder';
/** Node.js has this in the place of bytes that are no UTF-8, and finds no such file. */
const REPLACED = '\ufffd';
const NO_UTF8 = 'has a name that is no UTF-8, so it cannot be read';

/** There is nothing at the path. */
export const GONE = 'gone';

/**
 * Follows symbolic links, as the files of a mounted ConfigMap are links into a hidden folder. Names with a leading dot
 * are passed over: hidden folders, editors' swap files. A path that names a file is read whatever its extension.
 */
export async function findManifests(path: string): Promise<Found | typeof GONE> {
  const search = new Search();
  const found = await search.visit(path, []);
  if (found === 'gone') return GONE;
  if (found === 'other') search.unreadable.push({ path, message: NO_FILE });
  // A file is replaced by renaming another one, which only its folder gets to know.
  if (search.folders.length === 0) await search.addFolder(dirname(path));
  search.files.sort(byPath);
  search.unreadable.sort(byPath);
  return search;
}

class Search implements Found {
  readonly files: FoundFile[] = [];
  readonly folders: FoundFolder[] = [];
  readonly unreadable: Unreadable[] = [];
  readonly others: string[] = [];

  /** `ancestors` are the folders on the way here: a link to one of them would never end. */
  async visit(path: string, ancestors: readonly string[]): Promise<'visited' | 'gone' | 'other'> {
    let stats: BigIntStats;
    try {
      stats = await stat(path, { bigint: true });
    } catch (error) {
      if (isMissing(error)) return 'gone';
      this.unreadable.push({ path, message: `cannot be read: ${messageOf(error)}` });
      return 'visited';
    }
    if (stats.isDirectory()) await this.#visitFolder(path, stats, ancestors);
    else if (!stats.isFile()) return 'other';
    else if (ancestors.length === 0 || MANIFEST_EXTENSIONS.includes(extname(path)))
      this.#addFile(path, stats);
    else this.others.push(path);
    return 'visited';
  }

  async addFolder(path: string): Promise<void> {
    const stats = await stat(path, { bigint: true }).catch(() => undefined);
    if (stats) this.folders.push({ path, identity: identityOf(stats) });
  }

  async #visitFolder(path: string, stats: BigIntStats, ancestors: readonly string[]): Promise<void> {
    const id = `${stats.dev}:${stats.ino}`;
    if (ancestors.includes(id)) return;
    this.folders.push({ path, identity: identityOf(stats) });
    let names: string[];
    try {
      names = await readdir(path);
    } catch (error) {
      if (!isMissing(error)) this.unreadable.push({ path, message: `cannot be read: ${messageOf(error)}` });
      return;
    }
    const visible = names.filter((name) => !name.startsWith('.'));
    await Promise.all(
      visible.map(async (name) => {
        const place = join(path, name);
        const found = await this.visit(place, [...ancestors, id]);
        if (found === 'other' && MANIFEST_EXTENSIONS.includes(extname(name)))
          this.unreadable.push({ path: place, message: NO_FILE });
        if (found === 'gone' && name.includes(REPLACED))
          this.unreadable.push({ path: place, message: NO_UTF8 });
      }),
    );
  }

  #addFile(path: string, stats: BigIntStats): void {
    const { size, mtimeMs, birthtimeMs } = stats;
    const modified = Number(mtimeMs);
    // File systems that keep no time of birth say 0.
    const since = Math.min(modified, Number(birthtimeMs) || modified);
    this.files.push({ path, size: Number(size), modified, since, stamp: stampOf(stats) });
  }
}

function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : 1;
}

/** The path itself and every folder around it, in one form: without a slash at the end or a dot at the beginning. */
export function* placesAround(path: string): Generator<string> {
  let place = placeOf(path);
  for (; dirname(place) !== place; place = dirname(place)) yield place;
  yield place;
}

/** The form in which placesAround() names a path. */
export function placeOf(path: string): string {
  const place = normalize(path);
  return place.length > 1 && place.endsWith('/') ? place.slice(0, -1) : place;
}

/** The change time tells of writes that set the old modification time again, and of changed permissions. */
export function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}

/** The number of a deleted folder is soon given to a new one, which only the time of birth tells apart. */
function identityOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}

export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

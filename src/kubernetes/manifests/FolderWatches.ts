/**
 * Tells when something happens in any of a set of folders. A hint, not a promise: the kernel drops events, limits the
 * number of watches, and network file systems have none.
 */
import { type FSWatcher, watch } from 'node:fs';
import type { FoundFolder } from './findManifests.js';

interface Watch {
  readonly identity: string;
  readonly watcher: FSWatcher;
}

export class FolderWatches {
  readonly #watches = new Map<string, Watch>();
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** Watches these folders and no others. Answers whether a watch was added: what came before it was not seen. */
  follow(folders: readonly FoundFolder[]): boolean {
    const wanted = new Map(folders.map((folder) => [folder.path, folder.identity]));
    for (const [path, { identity }] of this.#watches) if (wanted.get(path) !== identity) this.#remove(path);
    let added = false;
    for (const [path, identity] of wanted) {
      if (!this.#watches.has(path)) added = this.#add(path, identity) || added;
    }
    return added;
  }

  close(): void {
    for (const path of this.#watches.keys()) this.#remove(path);
  }

  #add(path: string, identity: string): boolean {
    try {
      const watcher = watch(path, () => this.#changed());
      watcher.on('error', () => this.#remove(path));
      this.#watches.set(path, { identity, watcher });
      return true;
    } catch {
      // No watch left (fs.inotify.max_user_watches), or the folder has just gone: looking again now and then suffices.
      return false;
    }
  }

  #remove(path: string): void {
    this.#watches.get(path)?.watcher.close();
    this.#watches.delete(path);
  }
}

/**
 * Tells when the text of a file is another. Sees editors that write and those that replace, and the exchanged folder behind
 * a ConfigMap's symbolic links.
 */
import { type FSWatcher, readFileSync, realpathSync, watch } from 'node:fs';
import { dirname } from 'node:path';

/** Notices come in swarms, and some editors leave a file empty for a moment. */
const SETTLING_MS = 100;
/** Notices are a hint: file systems of others have none, and the folder itself may be replaced. */
const LOOK_ANYWAY_MS = 10_000;

export class FileWatch {
  readonly #file: string;
  readonly #onChange: () => void;
  readonly #watchers: FSWatcher[] = [];
  readonly #poll: NodeJS.Timeout;
  #settling: NodeJS.Timeout | undefined;
  #text: string | undefined;

  /** A file that cannot be read is waited for. */
  constructor(file: string, onChange: () => void) {
    this.#file = file;
    this.#onChange = onChange;
    this.#text = this.#read();
    this.#follow(dirname(file));
    try {
      this.#follow(dirname(realpathSync(file)));
    } catch {
      // It is not there at present; its folder tells when it is.
    }
    this.#poll = setInterval(() => this.#look(), LOOK_ANYWAY_MS);
    this.#poll.unref();
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    for (const watcher of this.#watchers) watcher.close();
  }

  #follow(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => {
        clearTimeout(this.#settling);
        this.#settling = setTimeout(() => this.#look(), SETTLING_MS);
      });
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // No watch left (fs.inotify.max_user_watches): looking now and then suffices.
    }
  }

  #look(): void {
    const text = this.#read();
    if (text === undefined || text === this.#text) return;
    this.#text = text;
    this.#onChange();
  }

  #read(): string | undefined {
    try {
      return readFileSync(this.#file, 'utf8');
    } catch {
      return undefined;
    }
  }
}

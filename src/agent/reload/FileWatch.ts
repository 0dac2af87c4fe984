/**
 * Tells when the text of a file is another. Looks every second: that sees editors that write and those that replace, the
 * exchanged folder behind a ConfigMap's symbolic links, and file systems that send no notices.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../../time/Clock.js';

const LOOK_EVERY_MS = 1000;

export interface FileWatchOptions {
  readonly file: string;
  readonly onChange: () => void;
  /** It was there, and cannot be read now: a message. */
  readonly onGone?: () => void;
  readonly lookEveryMs?: number;
  readonly clock: Clock;
  /** As readFileSync(path, 'utf8'), which is the default. */
  readonly read?: (path: string) => string;
}

export class FileWatch {
  readonly #options: FileWatchOptions;
  #cancel: () => void = () => {};
  /** What the last change led to, and what was seen last. */
  #taken: string | undefined;
  #seen: string | undefined;
  #gone = false;

  /** A file that cannot be read is waited for. */
  constructor(options: FileWatchOptions) {
    this.#options = options;
    this.#taken = this.#read();
    this.#seen = this.#taken;
    this.#wait();
  }

  close(): void {
    this.#cancel();
  }

  /** Whoever asks for it reads the file now: what is in it is no change any more. */
  taken(): void {
    this.#taken = this.#read();
    this.#seen = this.#taken;
    this.#gone = false;
  }

  #wait(): void {
    const { clock, lookEveryMs = LOOK_EVERY_MS } = this.#options;
    this.#cancel = clock.after(lookEveryMs, () => {
      // First, so that close() within the look ends it all.
      this.#wait();
      this.#look();
    });
  }

  /** A text counts once it was seen twice: some editors write in pieces. So does that there is none. */
  #look(): void {
    const text = this.#read();
    const settled = text === this.#seen;
    this.#seen = text;
    if (!settled) return;
    if (text === undefined) {
      if (!this.#gone && this.#taken !== undefined) this.#options.onGone?.();
      this.#gone = true;
      return;
    }
    const returned = this.#gone;
    this.#gone = false;
    if (text === this.#taken && !returned) return;
    this.#taken = text;
    this.#options.onChange();
  }

  #read(): string | undefined {
    try {
      const { file, read = (path) => readFileSync(path, 'utf8') } = this.#options;
      return read(file);
    } catch {
      return undefined;
    }
  }
}

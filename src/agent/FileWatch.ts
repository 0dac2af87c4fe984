/**
 * Tells when the text of a file is another. Looks every second: that sees editors that write and those that replace, the
 * exchanged folder behind a ConfigMap's symbolic links, and file systems that send no notices.
 */
import { readFileSync } from 'node:fs';

const LOOK_EVERY_MS = 1000;

export class FileWatch {
  readonly #file: string;
  readonly #onChange: () => void;
  readonly #timer: NodeJS.Timeout;
  /** What the last change led to, and what was seen last. */
  #taken: string | undefined;
  #seen: string | undefined;

  /** A file that cannot be read is waited for. */
  constructor(file: string, onChange: () => void, lookEveryMs = LOOK_EVERY_MS) {
    this.#file = file;
    this.#onChange = onChange;
    this.#taken = this.#read();
    this.#seen = this.#taken;
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** A text counts once it was seen twice: some editors write in pieces. */
  #look(): void {
    const text = this.#read();
    const settled = text === this.#seen;
    this.#seen = text;
    if (!settled || text === undefined || text === this.#taken) return;
    this.#taken = text;
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

/**
 * What is open, by name, in the order in which it was opened. It is closed in reverse, as later things use earlier ones; what
 * cannot be closed keeps nothing else open.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.js';

interface Open {
  readonly name: string;
  readonly close: () => void | Promise<void>;
}

export class OpenList {
  readonly #log: Pick<Logger, 'warn'>;
  readonly #open: Open[] = [];

  constructor(log: Pick<Logger, 'warn'>) {
    this.#log = log;
  }

  /** Names of what is open, the latest last. */
  get names(): readonly string[] {
    return this.#open.map(({ name }) => name);
  }

  add(name: string, close: Open['close']): void {
    this.#open.push({ name, close });
  }

  /** Never rejects. What is added meanwhile is closed as well; a second call finds nothing. */
  async close(): Promise<void> {
    for (let last = this.#open.pop(); last !== undefined; last = this.#open.pop()) {
      try {
        await last.close();
      } catch (error) {
        this.#log.warn({ err: error }, `${last.name} could not be closed: ${messageOf(error)}`);
      }
    }
  }

  /** Resolves as `work`; when it fails, everything is closed first. */
  async closeUnless<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.close();
      throw error;
    }
  }
}

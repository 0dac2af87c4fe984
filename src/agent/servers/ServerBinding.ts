/** Opens a server, and tries again while its address cannot be bound: maybe another kube-proxy is about to end. */
import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { messageOf, PenstockError } from '../../errors.js';
import type { ServerName } from '../../observe/events/occurrences.js';
import type { Clock } from '../../time/Clock.js';

const RETRY_MS = 5000;

export interface ServerBindingOptions {
  readonly name: ServerName;
  /** Rejects when the address cannot be bound. */
  readonly open: () => Promise<Server>;
  /** What happens when the first try fails. */
  readonly onFailure: 'try again' | 'fail';
  /** Milliseconds between two tries. Default 5000. */
  readonly retryMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export class ServerBinding {
  readonly #options: ServerBindingOptions;
  #server: Server | undefined;
  #cancelRetry: () => void = () => {};
  #closed = false;
  /** What was said last. */
  #failure: string | undefined;

  constructor(options: ServerBindingOptions) {
    this.#options = options;
  }

  get name(): ServerName {
    return this.#options.name;
  }

  /** Resolves after the first try. Rejects with PENSTOCK_CANNOT_BIND, if that is how it was configured. */
  async start(): Promise<void> {
    const { name, open, onFailure } = this.#options;
    try {
      this.#server = await open();
      if (this.#failure !== undefined) this.#options.log.info(`solved: ${name}: ${this.#failure}`);
    } catch (error) {
      if (onFailure === 'fail') throw cannotBind(name, error);
      this.#tryAgain(error);
    }
    if (this.#closed) this.close();
  }

  #tryAgain(error: unknown): void {
    const { name, retryMs = RETRY_MS, clock, log } = this.#options;
    const why = messageOf(error);
    if (why !== this.#failure)
      log.error({ err: error }, `${name}: ${why}; trying again every ${retryMs / 1000} s`);
    this.#failure = why;
    if (!this.#closed) this.#cancelRetry = clock.after(retryMs, () => void this.start());
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }
}

function cannotBind(name: string, error: unknown): PenstockError {
  return new PenstockError('PENSTOCK_CANNOT_BIND', `${name}: ${messageOf(error)}`, {
    cause: error,
    remedy:
      'See who listens there (ss -ltnp), or give another address; with bindAddressHardFail: false it is tried until it works.',
  });
}

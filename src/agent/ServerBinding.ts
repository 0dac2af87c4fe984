/** Opens a server, and tries again while its address cannot be bound: maybe another kube-proxy is about to end. */
import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { messageOf } from '../errors.js';

const RETRY_MS = 5000;

export interface ServerBindingOptions {
  /** `health server` */
  readonly name: string;
  /** Rejects when the address cannot be bound. */
  readonly open: () => Promise<Server>;
  /** What happens when the first try fails. */
  readonly onFailure: 'try again' | 'fail';
  /** Milliseconds between two tries. Default 5000. */
  readonly retryMs?: number;
  readonly log: Logger;
}

export class ServerBinding {
  readonly #options: ServerBindingOptions;
  #server: Server | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ServerBindingOptions) {
    this.#options = options;
  }

  /** Resolves after the first try. Rejects as `open` does, if that is how it was configured. */
  async start(): Promise<void> {
    const { name, open, onFailure, retryMs = RETRY_MS, log } = this.#options;
    try {
      this.#server = await open();
    } catch (error) {
      if (onFailure === 'fail') throw error;
      log.error({ err: error }, `${name}: ${messageOf(error)}; trying again in ${retryMs / 1000} s`);
      if (!this.#closed) this.#retry = setTimeout(() => void this.start(), retryMs);
    }
    if (this.#closed) this.close();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#server?.close();
    this.#server?.closeAllConnections();
  }
}

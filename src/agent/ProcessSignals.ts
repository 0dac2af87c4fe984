/** Signals to the agent. None of them ends it without a line, and none opens Node's debugger (bin/penstock sees to that first). */

import type { Logger } from 'pino';
import type { Clock } from '../time/Clock.js';
import type { NodeHost } from './NodeHost.js';

export interface ProcessSignalsOptions {
  /** SIGHUP: the configuration is to be read again. */
  readonly onHangUp: () => void;
  /** Milliseconds that ending may take, whatever the agent does when it is asked to. */
  readonly longestEndMs: () => number;
  readonly process: Pick<NodeHost['process'], 'on' | 'off' | 'exit'>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

export class ProcessSignals {
  readonly #options: ProcessSignalsOptions;
  readonly #listeners: readonly (readonly [NodeJS.Signals, () => void])[];
  #end: (signal: string) => void = () => {};
  #isEnding = false;
  #cancelLimit: (() => void) | undefined;
  /** Resolves with `SIGTERM received`. */
  readonly ended: Promise<string>;

  constructor(options: ProcessSignalsOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const end = (signal: NodeJS.Signals) => [signal, () => this.#receive(signal)] as const;
    const ignore = (signal: NodeJS.Signals) =>
      [signal, () => options.log.info(`${signal} received: it has no meaning here`)] as const;
    this.#listeners = [
      end('SIGTERM'),
      end('SIGINT'),
      ['SIGHUP', options.onHangUp],
      ignore('SIGUSR1'),
      ignore('SIGUSR2'),
    ];
    for (const [signal, listener] of this.#listeners) options.process.on(signal, listener);
  }

  /** One that ends the process has come. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** From now on the end has its limit. One that has begun stays as it is. */
  limitEnd(): void {
    if (this.#cancelLimit !== undefined) return;
    const { clock, process, log, longestEndMs } = this.#options;
    this.#cancelLimit = clock.after(longestEndMs(), () => {
      log.error('something does not end: the process ends all the same');
      process.exit(1);
    });
  }

  /** What was to end has ended. */
  liftLimit(): void {
    this.#cancelLimit?.();
    this.#cancelLimit = undefined;
  }

  /** SIGUSR1 stays harmless: bin/penstock has a listener of its own. */
  close(): void {
    this.liftLimit();
    for (const [signal, listener] of this.#listeners) this.#options.process.off(signal, listener);
  }

  #receive(signal: NodeJS.Signals): void {
    this.#isEnding = true;
    this.limitEnd();
    this.#end(`${signal} received`);
  }
}

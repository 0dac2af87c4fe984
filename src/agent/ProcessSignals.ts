/** Signals to the agent. None of them ends it without a line, and none opens Node's debugger (bin/penstock sees to that first). */
import type { Logger } from 'pino';

export interface ProcessSignalsOptions {
  /** SIGHUP: the configuration is to be read again. */
  readonly onHangUp: () => void;
  readonly log: Pick<Logger, 'info'>;
}

export class ProcessSignals {
  readonly #listeners: readonly (readonly [NodeJS.Signals, () => void])[];
  #end: (signal: string) => void = () => {};
  /** Resolves with `SIGTERM received`. */
  readonly ended: Promise<string>;

  constructor({ onHangUp, log }: ProcessSignalsOptions) {
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const end = (signal: NodeJS.Signals) => [signal, () => this.#end(`${signal} received`)] as const;
    const ignore = (signal: NodeJS.Signals) =>
      [signal, () => log.info(`${signal} received: it has no meaning here`)] as const;
    this.#listeners = [
      end('SIGTERM'),
      end('SIGINT'),
      ['SIGHUP', onHangUp],
      ignore('SIGUSR1'),
      ignore('SIGUSR2'),
    ];
    for (const [signal, listener] of this.#listeners) process.on(signal, listener);
  }

  /** SIGUSR1 stays harmless: bin/penstock has a listener of its own. */
  close(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener);
  }
}

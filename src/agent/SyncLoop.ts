/**
 * Runs the sync: at once when asked after a pause, never more often than every `minMs`, again soon when it failed, and
 * every `maxMs` in any case. Requests that come while it waits or runs become one.
 * kube-proxy calls this the bounded frequency runner; it retries only after its sync period of 30 s.
 */
export interface SyncLoopOptions {
  /** Milliseconds between the end of one run and the start of the next. */
  readonly minMs: number;
  /** The longest wait in milliseconds until the next attempt after failures; the first comes after a second. */
  readonly retryMs: number;
  readonly maxMs: number;
  /** A rejection makes the loop retry. */
  readonly run: () => Promise<void>;
}

export class SyncLoop {
  readonly #options: SyncLoopOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #requested = false;
  #urgent = false;
  #stopped = false;
  /** In a row. */
  #failures = 0;
  /** Milliseconds on the performance clock; the next run may not start before. */
  #notBefore = 0;

  constructor(options: SyncLoopOptions) {
    this.#options = options;
  }

  /** A run is in progress. */
  get busy(): boolean {
    return this.#running !== undefined;
  }

  /** Runs soon. */
  request(): void {
    this.#requested = true;
    this.#schedule();
  }

  /** Runs now, whatever minMs says: for repairs. */
  requestUrgent(): void {
    this.#urgent = true;
    this.request();
  }

  /** Resolves when the run in progress, if any, has ended. No run starts after this. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(): void {
    if (this.#stopped || this.#running) return;
    const wait = this.#urgent ? 0 : Math.max(0, this.#notBefore - performance.now());
    this.#setTimer(wait);
  }

  #setTimer(delay: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#once();
    }, delay);
  }

  async #once(): Promise<void> {
    this.#requested = false;
    this.#urgent = false;
    let next = this.#options.maxMs;
    try {
      await this.#options.run();
      this.#failures = 0;
    } catch {
      // run() has reported it.
      next = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, this.#options.retryMs, this.#options.maxMs);
      this.#failures++;
    }
    this.#running = undefined;
    this.#notBefore = performance.now() + this.#options.minMs;
    if (this.#requested) this.#schedule();
    else if (!this.#stopped) this.#setTimer(Math.max(next, this.#options.minMs));
  }
}

/** The wait after a first failure in milliseconds; it doubles with each further one. */
const FIRST_RETRY_MS = 1000;

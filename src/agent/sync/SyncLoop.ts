/**
 * Runs the sync: at once when asked after a pause, and once more at once, as one change often comes as two (a Service, then its slice);
 * beyond that never more often than every `minMs`; again soon when it failed, and every `maxMs` in any case. Requests that come while it waits or runs become one. While runs fail, the waits between
 * them grow, and no request shortens them; a repair may come before its time once in each wait.
 * kube-proxy calls this the bounded frequency runner; it retries only after its sync period of 30 s.
 */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.js';
import { BackOff } from '../../time/BackOff.js';
import type { Clock } from '../../time/Clock.js';

export interface SyncLoopOptions {
  /** Milliseconds between the end of one run and the start of the next, of many on average. */
  readonly minMs: number;
  /** What the waits between failing runs grow to, in milliseconds; the first is about a second. */
  readonly retryMs: number;
  readonly maxMs: number;
  /** A rejection, or what it throws, is logged, and makes the loop retry. */
  readonly run: () => Promise<void>;
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  readonly log: Pick<Logger, 'error' | 'info'>;
}

export class SyncLoop {
  readonly #options: SyncLoopOptions;
  readonly #backOff: BackOff;
  #cancelTimer: () => void = () => {};
  /** What the timer waits for, on the clock; infinite: there is none. */
  #timerAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  #requested = false;
  #urgent = false;
  #stopped = false;
  /** On the clock; no run that is not urgent starts before. */
  #notBefore = Number.NEGATIVE_INFINITY;
  /** On the clock: each run takes `minMs` of time that has to pass; a run may start while it owes for one other. */
  #owedUntil = Number.NEGATIVE_INFINITY;
  /** On the clock; a run starts then without being asked for. */
  #due = Number.POSITIVE_INFINITY;
  /** A repair has come before its time in the present wait. */
  #urgencySpent = false;
  /** What the last failure said. */
  #failure: string | undefined;

  constructor(options: SyncLoopOptions) {
    this.#options = options;
    this.#backOff = new BackOff(options.random, Math.min(options.retryMs, options.maxMs));
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
    this.#cancelTimer();
    await this.#running;
  }

  #schedule(): void {
    if (this.#stopped || this.#running) return;
    const { clock } = this.#options;
    const at = this.#mayJumpTheWait()
      ? Number.NEGATIVE_INFINITY
      : this.#requested
        ? this.#notBefore
        : this.#due;
    // Infinite: no run was asked for yet.
    if (at === this.#timerAt) return;
    this.#cancelTimer();
    this.#timerAt = at;
    this.#cancelTimer = clock.after(Math.max(0, at - clock.now()), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#running = this.#once();
    });
  }

  #mayJumpTheWait(): boolean {
    return this.#urgent && !(this.#backOff.failures > 0 && this.#urgencySpent);
  }

  async #once(): Promise<void> {
    const { run, clock, minMs, maxMs } = this.#options;
    const beforeItsTime = this.#backOff.failures > 0 && clock.now() < this.#notBefore;
    this.#requested = false;
    this.#urgent = false;
    try {
      await run();
      this.#succeeded();
      // A repair runs whatever is owed, and must not make others wait for long.
      this.#owedUntil = Math.min(Math.max(clock.now(), this.#owedUntil) + minMs, clock.now() + 2 * minMs);
      this.#notBefore = this.#owedUntil - minMs;
      this.#due = clock.now() + Math.max(minMs, maxMs);
    } catch (error) {
      this.#failed(error);
      // A repair that came before its time and failed leaves the wait as it was: else foreign changes would end all waiting.
      this.#urgencySpent = beforeItsTime;
      if (!beforeItsTime) this.#notBefore = clock.now() + Math.max(minMs, this.#backOff.next());
      this.#due = this.#notBefore;
    }
    this.#running = undefined;
    this.#schedule();
  }

  #succeeded(): void {
    if (this.#failure !== undefined) this.#options.log.info('the sync works again');
    this.#failure = undefined;
    this.#backOff.reset();
    this.#urgencySpent = false;
  }

  /** Once for each reason: with every try it would fill the log. */
  #failed(error: unknown): void {
    const message = messageOf(error);
    if (message === this.#failure) return;
    this.#failure = message;
    this.#options.log.error({ err: error }, `sync failed, it is tried again: ${message}`);
  }
}

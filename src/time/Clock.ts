import { preciseNow } from './preciseTime.js';

/** Time as everything here sees it that waits or measures, so that tests can let hours pass in milliseconds. */
export interface Clock {
  /** Milliseconds; only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970, with a fraction. Somebody may set it, so nothing is measured with it. */
  date(): number;
  /** Runs the action once, after so many milliseconds; for 0, or fewer, when whoever asks has ended. Answers how to cancel it. */
  after(milliseconds: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  date: preciseNow,
  after(milliseconds, action) {
    // A timer takes a millisecond at least.
    if (milliseconds <= 0) {
      const turn = setImmediate(action);
      return () => clearImmediate(turn);
    }
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
};

/** Runs the action each time so many milliseconds have passed. Answers how to end that. */
export function every(clock: Clock, milliseconds: number, action: () => void): () => void {
  let cancel = clock.after(milliseconds, turn);
  function turn(): void {
    cancel = clock.after(milliseconds, turn);
    action();
  }
  return () => cancel();
}

/** Resolves after the time, or at once when the signal aborts. */
export function sleep(clock: Clock, milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(milliseconds, done);
    signal?.addEventListener('abort', done);
  });
}

/** Acts once when nothing was heard for a time. Being heard costs no timer: there is one at most. */
export class Watchdog {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #act: () => void;
  #heard: number;
  #cancel: () => void;

  constructor(clock: Clock, limit: number, act: () => void) {
    this.#clock = clock;
    this.#limit = limit;
    this.#act = act;
    this.#heard = clock.now();
    this.#cancel = clock.after(limit, () => this.#check());
  }

  heard(): void {
    this.#heard = this.#clock.now();
  }

  stop(): void {
    this.#cancel();
  }

  #check(): void {
    const left = this.#heard + this.#limit - this.#clock.now();
    if (left <= 0) this.#act();
    else this.#cancel = this.#clock.after(left, () => this.#check());
  }
}

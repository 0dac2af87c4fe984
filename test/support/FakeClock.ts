/** A clock whose time passes only when nothing else is left to do. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../src/time/Clock.js';

/** Turns of the event loop after which promises that depend on each other have settled. */
const SETTLING_TURNS = 4;

/** When its time begins. */
const EPOCH = Date.UTC(2030, 0, 1);

interface Timer {
  readonly at: number;
  readonly action: () => void;
}

export class FakeClock implements Clock {
  #now = 0;
  #timers: Timer[] = [];

  now(): number {
    return this.#now;
  }

  date(): number {
    return EPOCH + this.#now;
  }

  after(milliseconds: number, action: () => void): () => void {
    const timer = { at: this.#now + milliseconds, action };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** How many timers there are. */
  get waiting(): number {
    return this.#timers.length;
  }

  /** Lets so much time pass, timer by timer. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      for (let i = 0; i < SETTLING_TURNS; i++) await turn();
      const next = this.#timers.reduce<Timer | undefined>(
        (first, timer) => (first && first.at <= timer.at ? first : timer),
        undefined,
      );
      if (!next || next.at > end) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.action();
    }
    this.#now = end;
  }
}

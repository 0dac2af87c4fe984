/** A real clock that runs faster, for what happens on real sockets. */
import type { Clock } from '../../src/time/Clock.js';

export class FastClock implements Clock {
  readonly #factor: number;

  /** 100: a second takes 10 ms. */
  constructor(factor: number) {
    this.#factor = factor;
  }

  now(): number {
    return performance.now() * this.#factor;
  }

  date(): number {
    return Date.now();
  }

  after(milliseconds: number, action: () => void): () => void {
    const timer = setTimeout(action, milliseconds / this.#factor);
    return () => clearTimeout(timer);
  }
}

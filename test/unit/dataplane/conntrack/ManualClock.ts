/** A clock that goes when it is told to, with the timers that run on it. */
import type { Clock } from '../../../../src/time/Clock.js';

export class ManualClock implements Clock {
  #time = 1_000_000;
  /** So much too early timers run out, in milliseconds; Node's do by up to one. */
  earlyMs = 0;
  readonly #timers = new Map<object, { readonly at: number; readonly callback: () => void }>();

  readonly now = (): number => this.#time;

  get pending(): number {
    return this.#timers.size;
  }

  date(): number {
    return this.#time;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const handle = {};
    this.#timers.set(handle, { at: this.#time + Math.max(0, milliseconds - this.earlyMs), callback });
    return () => this.#timers.delete(handle);
  }

  /** Goes on, runs what comes due in its order, and lets each finish what it began. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#time + milliseconds;
    for (;;) {
      const next = [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0];
      if (next === undefined || next[1].at > end) break;
      const [handle, { at, callback }] = next;
      this.#timers.delete(handle);
      this.#time = Math.max(this.#time, at);
      callback();
      await settle();
    }
    this.#time = end;
    await settle();
  }
}

/** Long enough for a few looks at a FakeConntrack. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

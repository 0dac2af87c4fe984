/** Connections to endpoints that no longer serve live on; when their time is over, they are cut. */
import type { Clock } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import type { LeavingEndpoint } from './EngineTable.js';

/** What setTimeout can wait for: with more it does not wait at all. */
const LONGEST_TIMER: Milliseconds = 2 ** 31 - 1;

export class DrainDeadlines {
  /** How to cancel them, by cell. */
  readonly #timers = new Map<number, () => void>();
  readonly #clock: Clock;
  readonly #reset: (cell: number) => void;

  constructor(clock: Clock, reset: (cell: number) => void) {
    this.#clock = clock;
    this.#reset = reset;
  }

  leaving({ row, cell, how }: LeavingEndpoint): void {
    const { drainTimeout, removedEndpoints } = row.options;
    if (how === 'removed' && removedEndpoints === 'reset') {
      this.returned(cell);
      this.#reset(cell);
    } else if (drainTimeout !== undefined && !this.#timers.has(cell)) {
      this.#wait(cell, drainTimeout);
    }
  }

  /** It serves again. */
  returned(cell: number): void {
    this.#timers.get(cell)?.();
    this.#timers.delete(cell);
  }

  close(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  #wait(cell: number, left: Milliseconds): void {
    const now = Math.min(left, LONGEST_TIMER);
    const cancel = this.#clock.after(now, () => {
      this.#timers.delete(cell);
      if (left > now) this.#wait(cell, left - now);
      else this.#reset(cell);
    });
    this.#timers.set(cell, cancel);
  }
}

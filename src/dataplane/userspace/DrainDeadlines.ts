/** Connections to endpoints that no longer serve live on; when their time is over, they are cut. */
import type { LeavingEndpoint } from './EngineTable.js';

export class DrainDeadlines {
  /** By cell. */
  readonly #timers = new Map<number, NodeJS.Timeout>();
  readonly #reset: (cell: number) => void;

  constructor(reset: (cell: number) => void) {
    this.#reset = reset;
  }

  leaving({ row, cell, how }: LeavingEndpoint): void {
    const { drainTimeout, removedEndpoints } = row.options;
    if (how === 'removed' && removedEndpoints === 'reset') {
      this.returned(cell);
      this.#reset(cell);
    } else if (drainTimeout !== undefined && !this.#timers.has(cell)) {
      const timer = setTimeout(() => {
        this.#timers.delete(cell);
        this.#reset(cell);
      }, drainTimeout);
      this.#timers.set(cell, timer);
    }
  }

  /** It serves again. */
  returned(cell: number): void {
    clearTimeout(this.#timers.get(cell));
    this.#timers.delete(cell);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}

/**
 * Repairs come at once, until somebody changes our rules again and again: two programs that each put back what they want
 * would keep a core busy, and the log.
 */

/** Repairs that may come at once, one after the other. */
const BURST = 20;
/** Milliseconds until one more may. */
const RECOVERY_MS = 5000;

export class RepairPacer {
  #left = BURST;
  /** When #left was right; milliseconds on the caller's clock. */
  #countedAt: number;

  constructor(now: number) {
    this.#countedAt = now;
  }

  /** Milliseconds to wait before the repair that is wanted now; 0 as long as they are rare. */
  next(now: number): number {
    const recovered = Math.floor((now - this.#countedAt) / RECOVERY_MS);
    this.#left = Math.min(BURST, this.#left + recovered);
    this.#countedAt += recovered * RECOVERY_MS;
    if (this.#left === 0) return RECOVERY_MS - (now - this.#countedAt);
    // A full stock gains nothing by waiting.
    if (this.#left === BURST) this.#countedAt = now;
    this.#left--;
    return 0;
  }
}

/**
 * How long to wait after each failure in a row: half as long again as before, and never the same on all nodes. Doubling, as
 * client-go does, finds a server that was away for 4 s only after 10 s more.
 */
const FIRST_MS = 800;
const GROWTH = 1.5;
/** The API server of a cluster of 5,000 nodes gets 170 requests a second at most while it comes back. */
const LONGEST_MS = 30_000;

export class BackOff {
  readonly #random: () => number;
  readonly #longest: number;
  #failures = 0;

  /** `random`: 0 to 1, as Math.random. `longest`: milliseconds that no wait exceeds by more than half. */
  constructor(random: () => number, longest = LONGEST_MS) {
    this.#random = random;
    this.#longest = longest;
  }

  /** In a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds to wait before the next try; `atLeast` is what the server asked for. */
  next(atLeast = 0): number {
    const base = Math.min(this.#longest, FIRST_MS * GROWTH ** Math.min(this.#failures, 10));
    this.#failures++;
    const jittered = base * (0.5 + this.#random());
    // Whoever was told the same Retry-After must not come back in the same instant either.
    return Math.max(jittered, atLeast * (1 + this.#random() / 4));
  }

  reset(): void {
    this.#failures = 0;
  }
}

/**
 * What is asked of others: a few at once, and not more waiting than may. One client that knocks at every Service must not cost the agent
 * its descriptors.
 */
const AT_ONCE = 8;
const MOST_WAITING = 1000;

export class Errands {
  #running = 0;
  readonly #waiting: (() => Promise<void>)[] = [];

  /** For one more. */
  get hasRoom(): boolean {
    return this.#waiting.length < MOST_WAITING;
  }

  /** In their order. `errand` never rejects. */
  run(errand: () => Promise<void>): void {
    this.#waiting.push(errand);
    this.#next();
  }

  #next(): void {
    if (this.#running >= AT_ONCE) return;
    const errand = this.#waiting.shift();
    if (errand === undefined) return;
    this.#running++;
    void errand().finally(() => {
      this.#running--;
      this.#next();
    });
  }
}

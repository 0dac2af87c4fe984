/**
 * Writes that the API server refuses for a Service alone, as an admission webhook or a validation does: each is tried again by itself,
 * later and later, and no other Service waits for it.
 */
import { BackOff } from '../../time/BackOff.js';
import type { Clock } from '../../time/Clock.js';

interface Refused {
  readonly backOff: BackOff;
  /** No `again` from then on; nothing where it was called already. */
  readonly cancel: () => void;
}

export class RefusedWrites {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #refused = new Map<string, Refused>();

  /** `random`: 0 up to 1. */
  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** `again` is called when it is time. True the first time in a row. */
  add(key: string, again: () => void): boolean {
    const known = this.#refused.get(key);
    const backOff = known?.backOff ?? new BackOff(this.#random);
    known?.cancel();
    this.#refused.set(key, { backOff, cancel: this.#clock.after(backOff.next(), again) });
    return known === undefined;
  }

  /** Something else is written instead, now. */
  supersede(key: string): void {
    this.#refused.get(key)?.cancel();
  }

  /** It was taken. */
  forget(key: string): void {
    this.supersede(key);
    this.#refused.delete(key);
  }

  stop(): void {
    for (const { cancel } of this.#refused.values()) cancel();
    this.#refused.clear();
  }
}

/**
 * Writes that failed for a Service, as an admission webhook or a validation makes them fail: each is tried again by itself, later and
 * later, and not before the server asked for it; no other Service waits for it.
 */
import { BackOff } from '../../time/BackOff.js';
import type { Clock } from '../../time/Clock.js';

interface Refused {
  readonly backOff: BackOff;
  /** Somebody was told that it fails. */
  readonly isTold: boolean;
  /** No `again` from then on; nothing where it was called already. */
  readonly cancel: () => void;
}

/** Milliseconds: a server that asks for an hour may mean it; it is asked sooner. */
const LONGEST_ASKED = 60_000;

export class RefusedWrites {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #refused = new Map<string, Refused>();

  /** `random`: 0 up to 1. */
  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * `again` is called when it is time, after `atLeast` milliseconds. Answers whether to tell somebody: once, and of what may be over at
   * the next try (`maybeOver`) not before that.
   */
  add(key: string, again: () => void, atLeast: number, maybeOver: boolean): boolean {
    const known = this.#refused.get(key);
    const backOff = known?.backOff ?? new BackOff(this.#random);
    known?.cancel();
    const cancel = this.#clock.after(backOff.next(Math.min(atLeast, LONGEST_ASKED)), again);
    const tells = known?.isTold !== true && (!maybeOver || backOff.failures > 1);
    this.#refused.set(key, { backOff, isTold: tells || known?.isTold === true, cancel });
    return tells;
  }

  has(key: string): boolean {
    return this.#refused.has(key);
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

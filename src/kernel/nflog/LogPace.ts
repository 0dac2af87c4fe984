/**
 * How many packets the kernel gathers before it wakes us. One that fails alone is told at once. Where many fail, rules let 50 a second of
 * each reason through, one by one: to be woken for each costs more than all the rest, so the kernel keeps them for a moment.
 */
import type { Milliseconds } from '../../time/duration.js';

export interface Gathering {
  /** So many at most. */
  readonly packets: number;
  /** So long at most. */
  readonly milliseconds: Milliseconds;
}

export const PROMPT: Gathering = { packets: 1, milliseconds: 10 };
/** A record must be there 100 ms after the packet. */
export const TOGETHER: Gathering = { packets: 64, milliseconds: 60 };

/** So many packets within so long are many. */
const MANY = 6;
const WINDOW: Milliseconds = 200;
/** After so long without one they are few again. */
const CALM: Milliseconds = 500;

export class LogPace {
  readonly #set: (gathering: Gathering) => void;
  #isTogether = false;
  /** Of the last packets, the oldest at `#next`. */
  readonly #times: Milliseconds[] = Array.from({ length: MANY }, () => Number.NEGATIVE_INFINITY);
  #next = 0;
  #last = Number.NEGATIVE_INFINITY;

  /** `set` is called whenever another pace is wanted. */
  constructor(set: (gathering: Gathering) => void) {
    this.#set = set;
  }

  /** A packet was told of. */
  met(now: Milliseconds): void {
    const isCalm = now - this.#last > CALM;
    this.#last = now;
    this.#times[this.#next] = now;
    this.#next = (this.#next + 1) % MANY;
    const oldest = this.#times[this.#next] ?? now;
    if (!this.#isTogether && now - oldest < WINDOW) this.#change(TOGETHER);
    else if (this.#isTogether && isCalm) this.#change(PROMPT);
  }

  #change(gathering: Gathering): void {
    this.#isTogether = gathering === TOGETHER;
    this.#set(gathering);
  }
}

/**
 * When objects without a creationTimestamp came to be, in milliseconds since the epoch. Who is there at the start is as old as
 * the file; who comes later is younger than all of them. Whole seconds, as in the API: files of one copy are of one age.
 */
export class Seniority {
  readonly #now: () => number;
  #youngest = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** At the start. A time in the future is that of another clock. */
  ofFound(since: number): number {
    return this.#noted(Math.min(since, this.#now()));
  }

  /** Later on. */
  ofNew(): number {
    return this.#noted(Math.max(this.#now(), this.#youngest + 1000));
  }

  #noted(time: number): number {
    const second = Math.floor(time / 1000) * 1000;
    this.#youngest = Math.max(this.#youngest, second);
    return second;
  }
}

/** Gives each service port that needs a mark a number of its own, and takes it back. */
import { MOST_MARKS } from './clusterClientMark.js';

export class MarkNumbers {
  readonly #numbers = new Map<string, number>();
  readonly #taken = new Set<number>();
  #next = 0;

  /** Of the service port with this key. */
  get(key: string): number | undefined {
    return this.#numbers.get(key);
  }

  /** Keeps the number that a service port has in the kernel already, unless another has it here. */
  adopt(key: string, number: number): void {
    if (this.#taken.has(number) || this.#numbers.has(key)) return;
    this.#numbers.set(key, number);
    this.#taken.add(number);
  }

  /** Undefined when all are taken: the service port then does without. */
  take(key: string): number | undefined {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    if (this.#taken.size >= MOST_MARKS) return undefined;
    while (this.#taken.has(this.#next)) this.#next = (this.#next + 1) % MOST_MARKS;
    const number = this.#next;
    this.#next = (this.#next + 1) % MOST_MARKS;
    this.#numbers.set(key, number);
    this.#taken.add(number);
    return number;
  }

  release(key: string): void {
    const number = this.#numbers.get(key);
    if (number === undefined) return;
    this.#numbers.delete(key);
    this.#taken.delete(number);
  }
}

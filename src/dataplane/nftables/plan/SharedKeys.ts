/** Counts who wants a key, so that it is there as long as anybody does. */
export class SharedKeys {
  readonly #counts = new Map<string, number>();

  keys(): Iterable<string> {
    return this.#counts.keys();
  }

  /** True when nobody wanted it before. */
  add(key: string): boolean {
    const count = this.#counts.get(key) ?? 0;
    this.#counts.set(key, count + 1);
    return count === 0;
  }

  /** True when nobody wants it any more. */
  remove(key: string): boolean {
    const count = this.#counts.get(key) ?? 0;
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
    return count === 1;
  }
}

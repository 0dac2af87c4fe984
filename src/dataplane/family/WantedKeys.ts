/** Counts who wants a key, so that it is there as long as anybody does. */
export class WantedKeys<Key extends string = string> {
  readonly #counts = new Map<Key, number>();

  keys(): Iterable<Key> {
    return this.#counts.keys();
  }

  get size(): number {
    return this.#counts.size;
  }

  has(key: Key): boolean {
    return this.#counts.has(key);
  }

  /** True when nobody wanted it before. */
  add(key: Key): boolean {
    const count = this.#counts.get(key) ?? 0;
    this.#counts.set(key, count + 1);
    return count === 0;
  }

  /** True when nobody wants it any more. */
  remove(key: Key): boolean {
    const count = this.#counts.get(key) ?? 0;
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
    return count === 1;
  }
}

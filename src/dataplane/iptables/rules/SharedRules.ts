/**
 * The rules of one shared chain in the order in which they are written: by service port key, so that the same objects
 * always give the same chain.
 */
export class SharedRules {
  readonly #rules = new Map<string, readonly string[]>();
  /** The keys of #rules, sorted. */
  readonly #keys: string[] = [];

  /** The number of service ports with rules here. */
  get size(): number {
    return this.#keys.length;
  }

  get(key: string): readonly string[] {
    return this.#rules.get(key) ?? [];
  }

  /** An empty list removes the service port. */
  set(key: string, rules: readonly string[]): void {
    const known = this.#rules.has(key);
    if (rules.length > 0) {
      if (!known) this.#keys.splice(this.#firstNotBelow(key), 0, key);
      this.#rules.set(key, rules);
    } else if (known) {
      this.#keys.splice(this.#firstNotBelow(key), 1);
      this.#rules.delete(key);
    }
  }

  /** Service ports and their rules in order. */
  *entries(): Iterable<readonly [key: string, rules: readonly string[]]> {
    for (const key of this.#keys) yield [key, this.#rules.get(key) as readonly string[]];
  }

  #firstNotBelow(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

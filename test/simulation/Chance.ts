/** Everything that a history leaves to chance: the same for the same seed (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 0 to 1, as Math.random. */
  readonly random = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let word = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 0x1_0000_0000;
  };

  /** 0 to n - 1. */
  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('nothing to choose from');
    return item;
  }

  /** True in so many of 100 cases. */
  percent(share: number): boolean {
    return this.random() * 100 < share;
  }

  /** Some of them, in their order. */
  some<Item>(items: readonly Item[], share = 50): Item[] {
    return items.filter(() => this.percent(share));
  }
}

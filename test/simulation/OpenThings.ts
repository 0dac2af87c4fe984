/** What a process has open besides sockets of netlink and servers, by name. */
export class OpenThings {
  readonly #open = new Map<object, string>();

  /** Answers how to close it. To close it twice is no harm. */
  add(name: string): () => Promise<void> {
    const key = {};
    this.#open.set(key, name);
    return async () => {
      this.#open.delete(key);
    };
  }

  get names(): readonly string[] {
    return [...this.#open.values()].sort();
  }
}

/** Bounds what is remembered while the kernel cannot be asked. What is forgotten ends of itself, only later. */
const MAX_REMEMBERED = 10_000;

/** To be called after each addition to a Map or Set, both of which keep the order of insertion. */
export function forgetOldest<Key>(memory: {
  readonly size: number;
  keys(): Iterable<Key>;
  delete(key: Key): boolean;
}): void {
  if (memory.size <= MAX_REMEMBERED) return;
  for (const oldest of memory.keys()) {
    memory.delete(oldest);
    return;
  }
}

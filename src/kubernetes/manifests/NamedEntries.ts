/** Which objects of files have a name, the first of them first. Nearly every name is there once, so one costs no list. */
import { type Entry, inOrder } from './readContent.js';

export class NamedEntries {
  readonly #of = new Map<string, Entry | Set<Entry>>();

  of(key: string): readonly Entry[] {
    const entries = this.#of.get(key);
    if (entries === undefined) return [];
    return entries instanceof Set ? [...entries].sort(inOrder) : [entries];
  }

  add(entry: Entry): void {
    const entries = this.#of.get(entry.key);
    if (entries === undefined) this.#of.set(entry.key, entry);
    else if (entries instanceof Set) entries.add(entry);
    else this.#of.set(entry.key, new Set([entries, entry]));
  }

  delete(entry: Entry): void {
    const entries = this.#of.get(entry.key);
    if (entries instanceof Set) entries.delete(entry);
    if (entries === entry || (entries instanceof Set && entries.size === 0)) this.#of.delete(entry.key);
  }
}

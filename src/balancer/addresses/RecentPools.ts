/**
 * Pools that went a moment ago. One that is given another name is missing for that moment, and so the allocator leaves its addresses
 * where they are (Allocator.ts); they are announced for as long.
 */
import { type AddressPool, poolName } from './AddressPool.js';

/** Milliseconds. */
export const POOLS_KNOWN_MS = 60_000;

export class RecentPools {
  #present = new Map<string, AddressPool>();
  readonly #gone = new Map<string, { readonly pool: AddressPool; readonly until: number }>();

  /** Whole list of those that are there. Answers those that went less than a minute ago. `now`: milliseconds of a steady clock. */
  gone(present: readonly AddressPool[], now: number): readonly AddressPool[] {
    const next = new Map(present.map((pool) => [poolName(pool), pool]));
    for (const [name, pool] of this.#present)
      if (!next.has(name)) this.#gone.set(name, { pool, until: now + POOLS_KNOWN_MS });
    this.#present = next;
    for (const [name, { until }] of this.#gone) if (next.has(name) || until <= now) this.#gone.delete(name);
    return [...this.#gone.values()].map(({ pool }) => pool);
  }

  /** When the first of them is forgotten; undefined: there is none. */
  get until(): number | undefined {
    const [first] = [...this.#gone.values()].map(({ until }) => until).sort((a, b) => a - b);
    return first;
  }
}

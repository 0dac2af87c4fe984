/** Reads the counters of all families when asked, but not too often and not while a sync writes. */
import { append } from '../../append.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { ServicePortCounters } from '../Dataplane.js';
import { type CountingTable, hasNoTable, readCounters } from './readCounters.js';

/** To list 10,000 elements takes the kernel and us 30 ms. Milliseconds. */
const SHORTEST_INTERVAL_MS = 1000;

type Counters = Promise<readonly ServicePortCounters[]>;

export class ConnectionCounters {
  readonly #tables: readonly CountingTable[];
  readonly #now: () => number;
  /** Resolves when no sync is under way. */
  readonly #quiet: () => Promise<void>;
  #last: Counters | undefined;
  /** Milliseconds on the clock of `now`. */
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(tables: readonly CountingTable[], now: () => number, quiet: () => Promise<void>) {
    this.#tables = tables;
    this.#now = now;
    this.#quiet = quiet;
  }

  /** Those of at most a second ago. Rejects with NetlinkError; the next call then tries again. */
  read(routing: RoutingView): Counters {
    const now = this.#now();
    if (this.#last === undefined || now - this.#askedAt >= SHORTEST_INTERVAL_MS) {
      this.#askedAt = now;
      const reading = this.#readAll(routing);
      this.#last = reading;
      reading.catch(() => {
        if (this.#last === reading) this.#last = undefined;
      });
    }
    return this.#last;
  }

  async #readAll(routing: RoutingView): Counters {
    const found: ServicePortCounters[] = [];
    for (const table of this.#tables) {
      await this.#quiet();
      try {
        append(found, await readCounters(table, routing.servicePorts(table.family).values()));
      } catch (error) {
        if (!hasNoTable(error)) throw error;
      }
    }
    return found;
  }
}

/** A dataplane whose changes are written as an agent writes them, and how late each is in the kernel. */
import { SyncLoop } from '../../src/agent/sync/SyncLoop.js';
import type { NftablesDataplane } from '../../src/dataplane/nftables/NftablesDataplane.js';
import type { RoutingTable } from '../../src/routing/RoutingTable.js';
import { systemClock } from '../../src/time/Clock.js';

/** As configured by default. */
const MIN_SYNC_MS = 10;

export class TimedSyncs {
  /** From changed() to the end of the commit that holds the change, for each. */
  readonly latencyMs: number[] = [];
  #waiting: number[] = [];
  #syncs = 0;
  readonly #loop: SyncLoop;

  constructor(dataplane: NftablesDataplane, table: RoutingTable) {
    this.#loop = new SyncLoop({
      minMs: MIN_SYNC_MS,
      retryMs: 30_000,
      maxMs: 3_600_000,
      run: async () => {
        const mine = this.#waiting;
        this.#waiting = [];
        await dataplane.sync(table, table.commit());
        const now = performance.now();
        for (const at of mine) this.latencyMs.push(now - at);
        this.#syncs++;
      },
      clock: systemClock,
      random: Math.random,
      log: { error: console.error, info: console.log },
    });
  }

  get syncs(): number {
    return this.#syncs;
  }

  /** The routing table has one more change. */
  changed(): void {
    this.#waiting.push(performance.now());
    this.#loop.request();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }
}

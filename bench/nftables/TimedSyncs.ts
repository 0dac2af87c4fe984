/** A dataplane whose changes are written as an agent writes them, and how late each is in the kernel. */
import { SyncLoop } from '../../src/agent/sync/SyncLoop.js';
import type { NftablesDataplane } from '../../src/dataplane/nftables/NftablesDataplane.js';
import type { RoutingTable } from '../../src/routing/RoutingTable.js';
import { systemClock } from '../../src/time/Clock.js';

/** As configured by default. */
const MIN_SYNC_MS = 10;

export class TimedSyncs {
  /** From changed() to the end of the commit that holds the change, for each, with the key of its service port. */
  readonly latencies: { readonly key: string; readonly ms: number }[] = [];
  /** When it was changed, by key of the service port. */
  #waiting: { readonly key: string; readonly at: number }[] = [];
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
        const { families } = await dataplane.sync(table, table.commit());
        const now = performance.now();
        const later = new Set(families.flatMap(({ waiting }) => waiting?.map(({ key }) => key) ?? []));
        for (const change of mine) {
          if (later.has(change.key)) this.#waiting.push(change);
          else this.latencies.push({ key: change.key, ms: now - change.at });
        }
        if (later.size > 0) this.#loop.requestUrgent();
        this.#syncs++;
      },
      clock: systemClock,
      random: Math.random,
      log: { error: console.error, info: console.log },
    });
  }

  get latencyMs(): readonly number[] {
    return this.latencies.map(({ ms }) => ms);
  }

  get syncs(): number {
    return this.#syncs;
  }

  /** The routing table has one more change, of the service port with this key. */
  changed(key: string): void {
    this.#waiting.push({ key, at: performance.now() });
    this.#loop.request();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }
}

/** Keeps the table of one IP family in agreement with the routing table. */
import type { NftablesTable } from '../../kernel/nftables/NftablesTable.js';
import type { Transaction } from '../../kernel/nftables/Transaction.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { FamilyReport } from '../Dataplane.js';
import { AffinitySweep } from './AffinitySweep.js';
import type { NftablesSettings } from './NftablesSettings.js';
import { planChanges } from './planChanges.js';
import { planFull } from './planFull.js';
import { readPresent } from './readPresent.js';
import type { TableContents } from './TableContents.js';

/** How often a transaction is planned anew when an entry of session affinity expired while it was on its way. */
const ATTEMPTS = 3;

export class FamilySync {
  readonly #table: NftablesTable;
  readonly #now: () => number;
  #pending: ServicePortChange[] = [];
  /** Undefined: what is in the kernel must be read first. */
  #contents: TableContents | undefined;

  constructor(table: NftablesTable, now: () => number) {
    this.#table = table;
    this.#now = now;
  }

  get family(): IpFamily {
    return this.#table.family;
  }

  /** Notes what changed; the next sync writes it, whatever happens before. */
  take(changes: readonly ServicePortChange[]): void {
    if (this.#contents !== undefined && changes.length > 0) this.#pending = merge(this.#pending, changes);
  }

  /** The next sync reads the kernel's table, and repairs what differs. */
  requireFull(): void {
    this.#contents = undefined;
    this.#pending = [];
  }

  async sync(ports: ReadonlyMap<string, ServicePort>, settings: NftablesSettings): Promise<FamilyReport> {
    const started = this.#now();
    const changes = this.#pending;
    const report = (
      kind: FamilyReport['kind'],
      written: number,
      kernelMs: number,
      transactions = 1,
    ): FamilyReport => ({
      family: this.family,
      kind,
      written,
      transactions,
      kernelMs,
      totalMs: this.#now() - started,
    });
    const transaction = this.#contents && this.#planPartial(this.#contents, changes, settings);
    if (!transaction) {
      const { kernelMs, isEmpty } = await this.#syncFull(ports, settings);
      return report(isEmpty ? 'none' : 'full', isEmpty ? 0 : ports.size, kernelMs);
    }
    if (transaction.isEmpty) {
      this.#pending = [];
      return report('none', 0, 0, 0);
    }
    const contents = this.#contents;
    this.#contents = undefined;
    this.#pending = [];
    const kernelMs = await this.#commit(transaction, AffinitySweep.of(this.family, changes));
    this.#contents = contents;
    return report('partial', changes.length, kernelMs);
  }

  #planPartial(
    contents: TableContents,
    changes: readonly ServicePortChange[],
    settings: NftablesSettings,
  ): Transaction | undefined {
    if (contents.settings.counters !== settings.counters) return undefined;
    return planChanges(contents, changes, settings, this.#table.name);
  }

  async #syncFull(
    ports: ReadonlyMap<string, ServicePort>,
    settings: NftablesSettings,
  ): Promise<{ kernelMs: number; isEmpty: boolean }> {
    this.requireFull();
    const present = await readPresent(this.#table, settings);
    const { transaction, contents } = await planFull(ports.values(), settings, present, this.#table.name);
    const sweep = present ? AffinitySweep.ofAll(this.family, ports.values()) : undefined;
    const kernelMs = transaction.isEmpty ? 0 : await this.#commit(transaction, sweep);
    this.#contents = contents;
    return { kernelMs, isEmpty: transaction.isEmpty };
  }

  /** Returns the milliseconds that the kernel took. */
  async #commit(transaction: Transaction, sweep: AffinitySweep | undefined): Promise<number> {
    const started = this.#now();
    if (sweep === undefined) {
      await this.#table.commit(transaction);
    } else {
      await sweep.commitWith(this.#table, transaction, ATTEMPTS);
    }
    return this.#now() - started;
  }
}

/** The first `before` and the last `after` of each service port. */
function merge(
  older: readonly ServicePortChange[],
  newer: readonly ServicePortChange[],
): ServicePortChange[] {
  if (older.length === 0) return [...newer];
  const merged = new Map(older.map((change) => [change.key, change]));
  for (const { key, before, after } of newer) {
    const known = merged.get(key);
    merged.set(key, { key, before: known ? known.before : before, after });
  }
  return [...merged.values()];
}

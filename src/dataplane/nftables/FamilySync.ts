/** Keeps the table of one IP family in agreement with the routing table. */
import { PenstockError } from '../../errors.js';
import type { NftablesTable } from '../../kernel/nftables/NftablesTable.js';
import type { ForeignChange } from '../../kernel/nftables/TableWatch.js';
import type { Transaction } from '../../kernel/nftables/Transaction.js';
import type { IpFamily } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { FamilyReport } from '../Dataplane.js';
import { AffinitySweep } from './AffinitySweep.js';
import type { NftablesSettings } from './desired/NftablesSettings.js';
import { planChanges } from './plan/planChanges.js';
import { planFull } from './plan/planFull.js';
import { type Damage, planRepair } from './plan/planRepair.js';
import { readPresent } from './plan/readPresent.js';
import type { TableContents } from './plan/TableContents.js';
import { RefusedServicePorts } from './RefusedServicePorts.js';

/** How often a transaction is planned anew when an entry of session affinity expired while it was on its way. */
const ATTEMPTS = 3;

interface FullSync {
  readonly kernelMs: number;
  /** Undefined: the kernel was right already. `rules`: nothing but those that all Services share. */
  readonly written: 'elements' | 'rules' | undefined;
}

export class FamilySync {
  readonly #table: NftablesTable;
  readonly #now: () => number;
  #pending: ServicePortChange[] = [];
  /** Undefined: what is in the kernel must be read first. */
  #contents: TableContents | undefined;
  /** What others changed since the last sync: the sets whose elements they touched. */
  #damage: Set<string> | undefined;
  readonly #refused = new RefusedServicePorts();
  /** How often others changed the table; one more while a transaction is on its way, and it proves nothing. */
  #doubts = 0;

  constructor(table: NftablesTable, now: () => number) {
    this.#table = table;
    this.#now = now;
  }

  get family(): IpFamily {
    return this.#table.family;
  }

  /** Service ports that are set aside. */
  get problems(): readonly Problem[] {
    return this.#refused.problems();
  }

  /** Notes what changed; the next sync writes it, whatever happens before. */
  take(changes: readonly ServicePortChange[]): void {
    const based = this.#refused.rebase(changes);
    if (this.#contents !== undefined && based.length > 0) this.#pending = merge(this.#pending, based);
  }

  /** The next sync reads the kernel's table, and repairs what differs. */
  requireFull(): void {
    this.#doubts++;
    this.#forget();
  }

  /** Somebody else changed the table. The next sync looks at what they changed, and repairs it. */
  distrust(changes: readonly ForeignChange[]): void {
    this.#doubts++;
    if (changes.some(({ kind }) => kind === 'table' || kind === 'set')) this.#forget();
    if (this.#contents === undefined) return;
    this.#damage ??= new Set();
    for (const { kind, name } of changes) if (kind === 'elements') this.#damage.add(name);
  }

  async sync(ports: ReadonlyMap<string, ServicePort>, settings: NftablesSettings): Promise<FamilyReport> {
    const started = this.#now();
    if (this.#refused.expire(started)) this.#forget();
    const damage = this.#damage;
    // Changes on top of damage: what is in the kernel is neither the state before nor after them.
    if (damage && this.#pending.length > 0) this.#forget();
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
    const repaired =
      this.#contents && damage && (await this.#repair(this.#contents, this.#refused.accepted(ports), damage));
    const transaction = this.#contents && this.#planPartial(this.#contents, changes, settings);
    if (!transaction) {
      const { kernelMs, written } = await this.#syncFull(ports, settings);
      if (written === undefined) return report('none', 0, kernelMs, 0);
      return report('full', written === 'elements' ? ports.size : 0, kernelMs);
    }
    if (transaction.isEmpty) {
      this.#pending = [];
      return repaired ? report('partial', 0, repaired.kernelMs) : report('none', 0, 0, 0);
    }
    const contents = this.#contents as TableContents;
    this.#forget();
    const kernelMs = await this.#commit(transaction, contents, AffinitySweep.of(this.family, changes));
    return report('partial', changes.length, kernelMs);
  }

  /** Undefined when there was nothing to do. */
  async #repair(
    contents: TableContents,
    ports: Iterable<ServicePort>,
    damage: Damage,
  ): Promise<{ kernelMs: number } | undefined> {
    this.#forget();
    const transaction = await planRepair(this.#table, contents, ports, damage);
    if (transaction === undefined) return undefined;
    const kernelMs = await this.#commit(transaction, contents, undefined);
    return transaction.isEmpty ? undefined : { kernelMs };
  }

  #planPartial(
    contents: TableContents,
    changes: readonly ServicePortChange[],
    settings: NftablesSettings,
  ): Transaction | undefined {
    if (contents.settings.counters !== settings.counters) return undefined;
    return planChanges(contents, changes, settings, this.#table.name);
  }

  /** When the kernel refuses the whole, whoever is at fault is set aside, and it is tried once more. */
  async #syncFull(ports: ReadonlyMap<string, ServicePort>, settings: NftablesSettings): Promise<FullSync> {
    try {
      return await this.#writeFull(ports, settings);
    } catch (error) {
      if (!isRefused(error)) throw error;
      const check = (transaction: Transaction) => this.#table.check(transaction);
      const candidates = [...this.#refused.accepted(ports)];
      if ((await this.#refused.find(candidates, settings, check, this.#now())) === 0) throw error;
      return await this.#writeFull(ports, settings);
    }
  }

  async #writeFull(ports: ReadonlyMap<string, ServicePort>, settings: NftablesSettings): Promise<FullSync> {
    this.#forget();
    const accepted = () => this.#refused.accepted(ports);
    const present = await readPresent(this.#table, settings);
    const { transaction, contents } = await planFull(accepted(), settings, present, this.#table.name);
    const sweep = present ? AffinitySweep.ofAll(this.family, accepted()) : undefined;
    const kernelMs = await this.#commit(transaction, contents, sweep);
    if (transaction.isEmpty) return { kernelMs, written: undefined };
    const touchesElements = transaction.newElements.size + transaction.deletedElements.size > 0;
    return { kernelMs, written: touchesElements ? 'elements' : 'rules' };
  }

  /** Until the kernel has agreed, nothing is known of it. Returns the milliseconds that it took. */
  async #commit(
    transaction: Transaction,
    contents: TableContents,
    sweep: AffinitySweep | undefined,
  ): Promise<number> {
    const started = this.#now();
    const doubts = this.#doubts;
    if (!transaction.isEmpty) {
      if (sweep === undefined) await this.#table.commit(transaction);
      else await sweep.commitWith(this.#table, transaction, ATTEMPTS);
    }
    if (doubts === this.#doubts) this.#contents = contents;
    return this.#now() - started;
  }

  #forget(): void {
    this.#contents = undefined;
    this.#damage = undefined;
    this.#pending = [];
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof PenstockError && error.code === 'PENSTOCK_NFTABLES_REFUSED';
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

/** Keeps the table of one IP family in agreement with the routing table. */
import { PenstockError } from '../../errors.js';
import { Transaction } from '../../kernel/nftables/Transaction.js';
import type { NftablesTable } from '../../kernel/nftables/table/NftablesTable.js';
import type { ForeignChange } from '../../kernel/nftables/table/TableWatch.js';
import type { IpFamily } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import { asNew, type ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { Milliseconds } from '../../time/duration.js';
import type { FamilyReport } from '../Dataplane.js';
import { FamilyPending } from '../family/FamilyPending.js';
import { isMomentary, MOMENTARY_RETRY_MS } from '../family/momentary.js';
import { SetAside } from '../family/SetAside.js';
import { AffinitySweep } from './AffinitySweep.js';
import type { NftablesSettings } from './desired/NftablesSettings.js';
import { findRefused } from './findRefused.js';
import { planChanges } from './plan/planChanges.js';
import { planFull } from './plan/planFull.js';
import { type Damage, planRepair } from './plan/planRepair.js';
import { countTouched, firstPortion, PORTION, portions, serviceOf, turnOf } from './plan/portions.js';
import { readPresent } from './plan/readPresent.js';
import type { TableContents } from './plan/TableContents.js';
import { takeAhead } from './plan/takeAhead.js';

/** How often a transaction is planned anew when an entry of session affinity expired while it was on its way. */
const ATTEMPTS = 3;
/** Until a refused service port is tried again as it is, the first time. */
const RETRY_MS: Milliseconds = 600_000;

/** What a sync did: how much was written, and the milliseconds in the kernel. */
interface Written {
  readonly kind: FamilyReport['kind'];
  /** Service ports. */
  readonly written: number;
  readonly kernelMs: Milliseconds;
  readonly waiting?: FamilyReport['waiting'];
}

const NOTHING: Written = { kind: 'none', written: 0, kernelMs: 0 };

export class FamilySync {
  readonly #table: NftablesTable;
  readonly #now: () => Milliseconds;
  readonly #pending = new FamilyPending();
  readonly #setAside = new SetAside({ retryMs: RETRY_MS });
  /** What the kernel holds, while #pending says that this is known. */
  #contents: TableContents | undefined;
  /** What others changed since the last sync: the sets whose elements they touched. */
  #damage: Set<string> | undefined;

  /** Services that serveEarly() wrote, `namespace/name`. The first sync keeps them served. Undefined: the table is none of that kind. */
  #early: ReadonlySet<string> | undefined;

  constructor(table: NftablesTable, now: () => Milliseconds) {
    this.#table = table;
    this.#now = now;
  }

  get family(): IpFamily {
    return this.#table.family;
  }

  /** Service ports that are set aside. */
  get problems(): readonly Problem[] {
    return this.#setAside.problems();
  }

  /** There is no table: nothing is served, and no agent before this one has left anything. Rejects with NetlinkError. */
  async isUnserved(): Promise<boolean> {
    return !(await this.#table.exists());
  }

  /**
   * Before the first sync, where nothing is served, and again when that changed: the difference is written, what went is withdrawn.
   * Rejects when the kernel refuses it.
   */
  async serveEarly(ports: readonly ServicePort[], settings: NftablesSettings): Promise<void> {
    const present = this.#early && (await readPresent(this.#table));
    if (present === undefined && ports.length === 0) return;
    const { transaction } = await planFull(ports, asPart(settings), present, this.#table.name);
    // What cannot be told for sure after a failure may be served.
    this.#early = new Set([...(this.#early ?? []), ...ports.map(serviceOf)]);
    if (!transaction.isEmpty) await this.#table.commit(transaction);
    this.#early = new Set(ports.map(serviceOf));
  }

  /** Notes what changed; the next sync writes it, whatever happens before. */
  take(changes: readonly ServicePortChange[]): void {
    this.#pending.take(this.#setAside.rebase(changes));
  }

  /** Elements that the next sync may touch; no more than `enough` are counted. */
  countWaiting(enough: number): number {
    return countTouched(this.#pending.waiting, enough);
  }

  /** The next sync reads the kernel's table, and repairs what differs. */
  requireFull(): void {
    this.#pending.doubt();
  }

  /** Somebody else changed the table. The next sync looks at what they changed, and repairs it. */
  distrust(changes: readonly ForeignChange[]): void {
    // While a transaction is on its way it is not known what they changed: that before it, or that after it.
    const isLocal = changes.every(({ kind }) => kind === 'chain' || kind === 'elements');
    if (!isLocal || !this.#pending.isKnown) {
      this.#pending.doubt();
      return;
    }
    this.#damage ??= new Set();
    for (const { kind, name } of changes) if (kind === 'elements') this.#damage.add(name);
  }

  async sync(ports: ReadonlyMap<string, ServicePort>, settings: NftablesSettings): Promise<FamilyReport> {
    const started = this.#now();
    const { family } = this;
    const { committed } = this.#table;
    const written = await this.#sync(ports, settings, started);
    const transactions = this.#table.committed - committed;
    return { family, transactions, ...written, totalMs: this.#now() - started };
  }

  async #sync(
    ports: ReadonlyMap<string, ServicePort>,
    settings: NftablesSettings,
    now: Milliseconds,
  ): Promise<Written> {
    if (this.#setAside.due(now).length > 0) this.#pending.doubt();
    // Changes on top of damage: what is in the kernel is neither the state before nor after them.
    if (this.#damage && !this.#pending.isEmpty) this.#pending.doubt();
    const { changes, isKnown } = this.#pending.begin();
    const contents = isKnown ? this.#contents : undefined;
    const written =
      contents &&
      (this.#damage
        ? await this.#repair(contents, ports, settings, this.#damage)
        : await this.#writeChanges(contents, changes, settings));
    return written ?? this.#syncFull(ports, settings);
  }

  /** Undefined when everything must be looked at. */
  async #repair(
    contents: TableContents,
    ports: ReadonlyMap<string, ServicePort>,
    settings: NftablesSettings,
    damage: Damage,
  ): Promise<Written | undefined> {
    this.#damage = undefined;
    const transaction = await planRepair(this.#table, contents, this.#setAside.accepted(ports), damage);
    if (transaction === undefined) return undefined;
    const kernelMs = await this.#commit(transaction, undefined);
    const written = await this.#writeChanges(contents, [], settings);
    if (written === undefined || transaction.isEmpty) return written;
    return { kind: 'partial', written: written.written, kernelMs: kernelMs + written.kernelMs };
  }

  /** Undefined when everything must be looked at. */
  async #writeChanges(
    contents: TableContents,
    changes: readonly ServicePortChange[],
    settings: NftablesSettings,
  ): Promise<Written | undefined> {
    if (contents.settings.counters !== settings.counters) return undefined;
    const [mine, later] = turnOf(changes);
    const kernelMs = await this.#writePortions(contents, mine, settings);
    if (kernelMs === undefined) return undefined;
    this.#confirm(contents, later);
    const waiting = later.length === 0 ? undefined : later;
    if (kernelMs === 'nothing') return { ...NOTHING, waiting };
    return { kind: 'partial', written: mine.length, kernelMs, waiting };
  }

  /** The milliseconds in the kernel, or that there was nothing to write. Undefined when everything must be looked at. */
  async #writePortions(
    contents: TableContents,
    changes: readonly ServicePortChange[],
    settings: NftablesSettings,
  ): Promise<Milliseconds | 'nothing' | undefined> {
    let kernelMs: Milliseconds | 'nothing' = 'nothing';
    const list = portions(changes);
    // With the last of them, for the entries of all: each look is at every entry that there is.
    const sweep = AffinitySweep.of(this.family, changes);
    for (const portion of list) {
      const transaction = planChanges(contents, portion, settings, this.#table.name);
      if (transaction === undefined) return undefined;
      const isLast = portion === list.at(-1);
      if (transaction.isEmpty && !(isLast && sweep)) continue;
      let took: Milliseconds = 0;
      // A Service may be larger than any portion.
      for (const ahead of takeAhead(transaction, 2 * PORTION, contents.filled))
        took += await this.#commit(ahead, undefined);
      took += await this.#commit(transaction, isLast ? sweep : undefined);
      kernelMs = (kernelMs === 'nothing' ? 0 : kernelMs) + took;
    }
    return kernelMs;
  }

  /** When the kernel refuses the whole, whoever is at fault is set aside, and it is tried once more. */
  async #syncFull(ports: ReadonlyMap<string, ServicePort>, settings: NftablesSettings): Promise<Written> {
    try {
      return await this.#writeFull(ports, settings);
    } catch (error) {
      if (!isRefused(error)) throw error;
      const candidates = [...this.#setAside.accepted(ports)];
      const refused = await findRefused(candidates, settings, (transaction) =>
        this.#table.check(transaction),
      );
      if (refused.length === 0) throw error;
      for (const { port, error: why } of refused) {
        const retryMs = isMomentary(why) ? MOMENTARY_RETRY_MS : RETRY_MS;
        this.#setAside.addServicePort(port, why.message, this.#now(), retryMs);
      }
      return await this.#writeFull(ports, settings);
    }
  }

  async #writeFull(ports: ReadonlyMap<string, ServicePort>, settings: NftablesSettings): Promise<Written> {
    this.#pending.begin();
    this.#damage = undefined;
    const accepted = () => this.#setAside.accepted(ports);
    const present = await readPresent(this.#table);
    const wasAsleep = present !== undefined && present.state.flags !== 0;
    let kernelMs = wasAsleep ? await this.#wakeTable() : 0;
    // Where nothing is served yet, or only what was urgent, that and what is small is served first.
    const early = this.#early;
    const [first, later] = present && !early ? [accepted(), []] : firstPortion(accepted(), early);
    // Whoever served before us serves on what is not written yet: a table stands in front of others when it is whole.
    const asYet = later.length > 0 ? asPart(settings) : settings;
    const { transaction, contents } = await planFull(first, asYet, present, this.#table.name, later);
    const sweep = present ? AffinitySweep.ofAll(this.family, accepted()) : undefined;
    for (const portion of takeAhead(transaction, PORTION, contents.filled))
      kernelMs += await this.#commit(portion, undefined);
    kernelMs += await this.#commit(transaction, sweep);
    this.#early = undefined;
    if (later.length > 0) kernelMs += await this.#writeLater(contents, later, asYet, settings);
    this.#confirm(contents);
    this.#setAside.confirm();
    if (transaction.isEmpty && !wasAsleep) return { ...NOTHING, kernelMs };
    const touchesElements = transaction.newElements.size + transaction.deletedElements.size > 0;
    // Otherwise nothing was written but rules, which all Services share.
    return { kind: 'full', written: touchesElements ? ports.size : 0, kernelMs };
  }

  /** What the first portion left, then the table's place. */
  async #writeLater(
    contents: TableContents,
    later: readonly ServicePort[],
    asYet: NftablesSettings,
    settings: NftablesSettings,
  ): Promise<Milliseconds> {
    let kernelMs = 0;
    for (const [changes, now] of [[asNew(later), asYet] as const, [[], settings] as const]) {
      const took = await this.#writePortions(contents, changes, now);
      if (took === undefined) throw new Error('the sets have no room for what they were made for');
      if (took !== 'nothing') kernelMs += took;
    }
    return kernelMs;
  }

  /** Takes away the flags that others gave the table. In one transaction with new chains the kernel refuses that. */
  #wakeTable(): Promise<Milliseconds> {
    const transaction = new Transaction(this.family, this.#table.name);
    transaction.createTable = true;
    return this.#commit(transaction, undefined);
  }

  /** Returns the milliseconds that it took. */
  async #commit(transaction: Transaction, sweep: AffinitySweep | undefined): Promise<Milliseconds> {
    const started = this.#now();
    if (transaction.isEmpty) await sweep?.sweepAgain(this.#table);
    else if (sweep === undefined) await this.#table.commit(transaction);
    else await sweep.commitWith(this.#table, transaction, ATTEMPTS);
    return this.#now() - started;
  }

  #confirm(contents: TableContents, later: readonly ServicePortChange[] = []): void {
    this.#contents = this.#pending.confirm(later) ? contents : undefined;
  }
}

/** Of a table that is not whole: it stands behind others, and drops nothing for being unknown. */
function asPart(settings: NftablesSettings): NftablesSettings {
  return { ...settings, stance: 'behind', serviceCIDRs: [] };
}

function isRefused(error: unknown): boolean {
  return error instanceof PenstockError && error.code === 'PENSTOCK_NFTABLES_REFUSED';
}

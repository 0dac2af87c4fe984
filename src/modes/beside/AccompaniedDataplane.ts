/** A dataplane with what is kept beside its rules. What goes wrong with that harms the rules in nothing. */
import {
  type BesideTable,
  type Dataplane,
  NO_RULE_FACTS,
  type QueueState,
  type RuleFacts,
  type SyncReport,
} from '../../dataplane/Dataplane.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';

export interface Companion {
  /**
   * Before the rules of the mode, which are going to refuse: takes the packets of service ports that fall asleep; where nothing changed,
   * of all that sleep, if somebody has removed the table that does it. A sync with the same changes follows. Never rejects.
   */
  prepare?(table: RoutingView, changes: ChangeSet): Promise<void>;
  /** Never rejects: what fails is told in the log and tried again. */
  sync(table: RoutingView, changes: ChangeSet): Promise<void>;
  /** The next sync looks at everything. */
  requireFull(): void;
  /** A sentence when others changed it; the next sync repairs that. */
  verify(): Promise<string | undefined>;
  close(): void;
}

/** One with a queue of first packets. */
export interface QueueCompanion extends Companion {
  readonly table: BesideTable;
  state(): QueueState | undefined;
}

/** What it has taken ends before others may take over. */
export interface AcceptingCompanion extends Omit<Companion, 'close'> {
  readonly table: BesideTable;
  /** Undefined where all is well. */
  state(): QueueState | undefined;
  readonly report: NonNullable<Dataplane['acceptReport']>;
  close(): Promise<void>;
}

export interface Company {
  /** Written before the rules: what will fail is told of from the beginning. */
  readonly before?: Companion | undefined;
  /** Written after them: they need nothing of it. */
  readonly after?: (QueueCompanion & { readonly report: NonNullable<Dataplane['choiceReport']> }) | undefined;
  /** Told when the rules are in force, and not before: it sends packets to them. */
  readonly inForce?: (QueueCompanion & { readonly report: NonNullable<Dataplane['wakeReport']> }) | undefined;
  /** Likewise: it takes connections away from them, until they serve. */
  readonly accepting?: AcceptingCompanion | undefined;
}

export class AccompaniedDataplane implements Dataplane {
  readonly #target: Dataplane;
  readonly #company: Company;
  readonly isUnserved: Dataplane['isUnserved'];
  readonly serveEarly: Dataplane['serveEarly'];
  readonly connectionCounters: Dataplane['connectionCounters'];
  readonly rulePackets: Dataplane['rulePackets'];
  readonly digest: Dataplane['digest'];
  readonly queueStates: Dataplane['queueStates'];
  readonly standBack: Dataplane['standBack'];
  readonly choiceReport: Dataplane['choiceReport'];
  readonly wakeReport: Dataplane['wakeReport'];
  readonly acceptReport: Dataplane['acceptReport'];
  readonly proxyReport: Dataplane['proxyReport'];

  constructor(target: Dataplane, company: Company) {
    this.#target = target;
    this.#company = company;
    this.isUnserved = target.isUnserved?.bind(target);
    this.serveEarly = target.serveEarly?.bind(target);
    this.connectionCounters = target.connectionCounters?.bind(target);
    this.rulePackets = target.rulePackets?.bind(target);
    this.digest = target.digest?.bind(target);
    const queues = [company.after, company.inForce, company.accepting].filter((each) => each !== undefined);
    if (queues.length > 0) this.queueStates = () => queues.flatMap((queue) => queue.state() ?? []);
    this.standBack = target.standBack?.bind(target);
    this.proxyReport = target.proxyReport?.bind(target);
    const { after, inForce, accepting } = company;
    this.choiceReport = after && (() => after.report());
    this.wakeReport = inForce && (() => inForce.report());
    this.acceptReport = accepting && (() => accepting.report());
  }

  get description(): string {
    return this.#target.description;
  }

  get families(): readonly IpFamily[] {
    return this.#target.families;
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    const { before, after, inForce, accepting } = this.#company;
    await before?.sync(table, changes);
    await inForce?.prepare?.(table, changes);
    await accepting?.prepare?.(table, changes);
    let report: SyncReport;
    try {
      report = await this.#target.sync(table, changes);
    } catch (error) {
      inForce?.requireFull();
      accepting?.requireFull();
      throw error;
    } finally {
      await after?.sync(table, changes);
    }
    await inForce?.sync(table, changes);
    await accepting?.sync(table, changes);
    return report;
  }

  ruleFacts(table: RoutingView): RuleFacts {
    const { after, inForce, accepting } = this.#company;
    const beside = [after, inForce, accepting].flatMap((each) => (each ? [each.table] : []));
    const written = beside.filter(({ settings, why }) => why !== '' || Object.keys(settings).length > 0);
    const facts = this.#target.ruleFacts?.(table) ?? NO_RULE_FACTS;
    return written.length === 0 ? facts : { ...facts, beside: written };
  }

  requireFull(): void {
    for (const each of this.#all) each.requireFull();
  }

  async verify(): Promise<string | undefined> {
    for (const each of this.#all) {
      const wrong = await each.verify();
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }

  async close(): Promise<void> {
    try {
      await this.#target.close();
    } finally {
      await this.#company.accepting?.close();
      this.#company.inForce?.close();
      this.#company.after?.close();
      this.#company.before?.close();
    }
  }

  get #all(): readonly Pick<Companion, 'requireFull' | 'verify'>[] {
    const { before, after, inForce, accepting } = this.#company;
    return [this.#target, ...[before, after, inForce, accepting].filter((each) => each !== undefined)];
  }
}

/** `dataplane` itself where nothing stands beside it. */
export function accompanied(dataplane: Dataplane, company: Company): Dataplane {
  return company.before || company.after || company.inForce || company.accepting
    ? new AccompaniedDataplane(dataplane, company)
    : dataplane;
}

/** A dataplane with what is kept beside its rules. What goes wrong with that harms the rules in nothing. */
import type { Dataplane, SyncReport } from '../../dataplane/Dataplane.js';
import type { IpFamily } from '../../net/ip.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';

export interface Companion {
  /** Never rejects: what fails is told in the log and tried again. */
  sync(table: RoutingView, changes: ChangeSet): Promise<void>;
  /** The next sync looks at everything. */
  requireFull(): void;
  /** A sentence when others changed it; the next sync repairs that. */
  verify(): Promise<string | undefined>;
  close(): void;
}

export interface Company {
  /** Written before the rules: what will fail is told of from the beginning. */
  readonly before?: Companion | undefined;
  /** Written after them: they need nothing of it. */
  readonly after?: (Companion & { readonly report: NonNullable<Dataplane['choiceReport']> }) | undefined;
  /** Told when the rules are in force, and not before: it sends packets to them. */
  readonly inForce?: (Companion & { readonly report: NonNullable<Dataplane['wakeReport']> }) | undefined;
}

export class AccompaniedDataplane implements Dataplane {
  readonly #target: Dataplane;
  readonly #company: Company;
  readonly connectionCounters: Dataplane['connectionCounters'];
  readonly rulePackets: Dataplane['rulePackets'];
  readonly ruleFacts: Dataplane['ruleFacts'];
  readonly digest: Dataplane['digest'];
  readonly standBack: Dataplane['standBack'];
  readonly choiceReport: Dataplane['choiceReport'];
  readonly wakeReport: Dataplane['wakeReport'];
  readonly proxyReport: Dataplane['proxyReport'];

  constructor(target: Dataplane, company: Company) {
    this.#target = target;
    this.#company = company;
    this.connectionCounters = target.connectionCounters?.bind(target);
    this.rulePackets = target.rulePackets?.bind(target);
    this.digest = target.digest?.bind(target);
    this.ruleFacts = target.ruleFacts?.bind(target);
    this.standBack = target.standBack?.bind(target);
    this.proxyReport = target.proxyReport?.bind(target);
    const { after, inForce } = company;
    this.choiceReport = after && (() => after.report());
    this.wakeReport = inForce && (() => inForce.report());
  }

  get description(): string {
    return this.#target.description;
  }

  get families(): readonly IpFamily[] {
    return this.#target.families;
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    const { before, after, inForce } = this.#company;
    await before?.sync(table, changes);
    let report: SyncReport;
    try {
      report = await this.#target.sync(table, changes);
    } catch (error) {
      inForce?.requireFull();
      throw error;
    } finally {
      await after?.sync(table, changes);
    }
    await inForce?.sync(table, changes);
    return report;
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
      this.#company.inForce?.close();
      this.#company.after?.close();
      this.#company.before?.close();
    }
  }

  get #all(): readonly Pick<Companion, 'requireFull' | 'verify'>[] {
    const { before, after, inForce } = this.#company;
    return [this.#target, ...[before, after, inForce].filter((each) => each !== undefined)];
  }
}

/** `dataplane` itself where nothing stands beside it. */
export function accompanied(dataplane: Dataplane, company: Company): Dataplane {
  return company.before || company.after || company.inForce
    ? new AccompaniedDataplane(dataplane, company)
    : dataplane;
}

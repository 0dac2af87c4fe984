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
}

export class AccompaniedDataplane implements Dataplane {
  readonly #target: Dataplane;
  readonly #company: Company;
  readonly connectionCounters: Dataplane['connectionCounters'];
  readonly rulePackets: Dataplane['rulePackets'];
  readonly ruleFacts: Dataplane['ruleFacts'];
  readonly standBack: Dataplane['standBack'];
  readonly choiceReport: Dataplane['choiceReport'];

  constructor(target: Dataplane, company: Company) {
    this.#target = target;
    this.#company = company;
    this.connectionCounters = target.connectionCounters?.bind(target);
    this.rulePackets = target.rulePackets?.bind(target);
    this.ruleFacts = target.ruleFacts?.bind(target);
    this.standBack = target.standBack?.bind(target);
    const { after } = company;
    this.choiceReport = after && (() => after.report());
  }

  get description(): string {
    return this.#target.description;
  }

  get families(): readonly IpFamily[] {
    return this.#target.families;
  }

  async sync(table: RoutingView, changes: ChangeSet): Promise<SyncReport> {
    await this.#company.before?.sync(table, changes);
    try {
      return await this.#target.sync(table, changes);
    } finally {
      await this.#company.after?.sync(table, changes);
    }
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
      this.#company.after?.close();
      this.#company.before?.close();
    }
  }

  get #all(): readonly Pick<Companion, 'requireFull' | 'verify'>[] {
    const { before, after } = this.#company;
    return [this.#target, ...(before ? [before] : []), ...(after ? [after] : [])];
  }
}

/** `dataplane` itself where nothing stands beside it. */
export function accompanied(dataplane: Dataplane, company: Company): Dataplane {
  return company.before || company.after ? new AccompaniedDataplane(dataplane, company) : dataplane;
}

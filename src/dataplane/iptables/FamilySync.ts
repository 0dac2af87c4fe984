/**
 * Keeps the iptables rules of one family in agreement with the routing table.
 *
 * A full sync writes everything; later ones only what changed, without asking the kernel what it has. After any
 * failure the next attempt is full. What iptables refuses is traced to its service port; that one is set aside with
 * the rules it last had, everything else is programmed.
 */

import { RestoreError } from '../../kernel/xtables/RestoreError.js';
import type { RestoreInput } from '../../kernel/xtables/RestoreInput.js';
import type { XtablesTool } from '../../kernel/xtables/XtablesTool.js';
import type { IpFamily } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import type { FamilyReport } from '../Dataplane.js';
import { FamilyPending } from '../family/FamilyPending.js';
import { SetAside } from '../family/SetAside.js';
import { waitForAll } from '../family/waitForAll.js';
import { findRefused } from './findRefused.js';
import { type ExistingRules, readExistingRules } from './plan/ExistingRules.js';
import { planCanaries, planFull } from './plan/planFull.js';
import { planPartial } from './plan/planPartial.js';
import { type RuleDelta, RuleSet } from './plan/RuleSet.js';
import { countAll, countWritten } from './rules/countRules.js';
import { NO_RULE_COUNTS } from './rules/RuleCounts.js';
import type { RuleSettings } from './rules/RuleSettings.js';
import { type CommentStyle, renderServicePort } from './rules/renderServicePort.js';
import { type NatSectionLimit, SECTION_LIMIT } from './rules/sections.js';

/** Above this many endpoints kube-proxy leaves out the comments of endpoint rules. */
export const LARGE_CLUSTER_ENDPOINTS = 1000;

export interface FamilySyncOptions {
  readonly tool: XtablesTool;
  /** Milliseconds after which a refused service port is tried again; doubles with each refusal. */
  readonly retryMs: number;
  /** Milliseconds, monotonic. */
  readonly clock?: Clock;
  readonly render?: typeof renderServicePort;
  /** Hears each time that the tool did not take what a sync wrote. */
  readonly onRestoreFailed?: (kind: 'full' | 'partial') => void;
}

export class FamilySync {
  readonly #tool: XtablesTool;
  readonly #clock: Clock;
  readonly #render: typeof renderServicePort;
  readonly #onRestoreFailed: (kind: 'full' | 'partial') => void;
  #inForce = new RuleSet();
  readonly #pending = new FamilyPending();
  readonly #setAside: SetAside;
  #settings: RuleSettings | undefined;
  #style: CommentStyle = 'full';
  /** The text of service ports that did not change is what would be rendered now. */
  #textIsCurrent = false;
  /** Endpoints in the table, ready or not. */
  #endpoints = 0;
  #kernelMs = 0;
  #transactions = 0;
  /** By the sync in progress. */
  #rulesWritten = NO_RULE_COUNTS;

  constructor(options: FamilySyncOptions) {
    this.#tool = options.tool;
    this.#clock = options.clock ?? systemClock;
    this.#render = options.render ?? renderServicePort;
    this.#onRestoreFailed = options.onRestoreFailed ?? (() => {});
    this.#setAside = new SetAside({ retryMs: options.retryMs, meanwhile: 'its last good rules stay' });
  }

  get family(): IpFamily {
    return this.#tool.family;
  }

  get rules(): RuleSet {
    return this.#inForce;
  }

  get problems(): Problem[] {
    return this.#setAside.problems();
  }

  /** The next sync writes everything. */
  requireFull(): void {
    this.#pending.doubt();
  }

  /** Notes what the next sync must look at. */
  take(changes: readonly ServicePortChange[]): void {
    this.#pending.take(this.#setAside.rebase(changes));
    for (const { before, after } of changes) {
      this.#endpoints += (after?.endpoints.all.length ?? 0) - (before?.endpoints.all.length ?? 0);
    }
  }

  /** Rejects when the kernel could not be brought to agree; nothing is lost, the next call tries everything. */
  async sync(table: ReadonlyMap<string, ServicePort>, settings: RuleSettings): Promise<FamilyReport> {
    const start = this.#clock.now();
    this.#kernelMs = 0;
    this.#transactions = 0;
    this.#rulesWritten = NO_RULE_COUNTS;
    this.#useSettings(settings);
    const due = this.#setAside.due(start);
    const { changes, isKnown } = this.#pending.begin();
    const dirty = new Set([...due, ...changes.map(({ key }) => key)]);
    let kind: FamilyReport['kind'] = dirty.size > 0 ? 'partial' : 'none';
    let written = isKnown ? await this.#partial(table, dirty, settings) : undefined;
    if (written === undefined) {
      kind = 'full';
      written = await this.#full(table, dirty, settings);
    }
    const total = countAll(this.#inForce, settings);
    // A full sync writes all of them.
    const last = kind === 'full' ? total : this.#rulesWritten;
    return {
      family: settings.family,
      kind,
      written,
      transactions: this.#transactions,
      kernelMs: this.#kernelMs,
      totalMs: this.#clock.now() - start,
      rules: (['filter', 'nat'] as const).map((table) => ({
        table,
        total: total[table],
        written: last[table],
      })),
    };
  }

  #useSettings(settings: RuleSettings): void {
    const style = this.#endpoints > LARGE_CLUSTER_ENDPOINTS ? 'brief' : 'full';
    if (!this.#settings || JSON.stringify(settings) !== JSON.stringify(this.#settings)) {
      this.#pending.doubt();
      this.#textIsCurrent = false;
    }
    // As in kube-proxy, crossing the threshold alone rewrites nothing; the next full sync does.
    if (style !== this.#style) this.#textIsCurrent = false;
    this.#settings = settings;
    this.#style = style;
  }

  /** Undefined when a full sync is wanted: a rule that is not there to be removed says nothing about its owner. */
  async #partial(
    table: ReadonlyMap<string, ServicePort>,
    dirty: ReadonlySet<string>,
    settings: RuleSettings,
  ): Promise<number | undefined> {
    const deltas = this.#deltas(table, dirty, dirty, settings);
    const input = planPartial(this.#inForce, deltas, settings, this.#limit);
    try {
      if (!input.isEmpty) await this.#restore(input);
    } catch (error) {
      if (error instanceof RestoreError) this.#onRestoreFailed('partial');
      if (!(error instanceof RestoreError) || error.transient) throw error;
      return undefined;
    }
    this.#rulesWritten = countWritten(input);
    this.#inForce.apply(deltas);
    this.#confirm();
    return deltas.length;
  }

  #confirm(): void {
    this.#pending.confirm();
    this.#setAside.confirm();
  }

  async #full(
    table: ReadonlyMap<string, ServicePort>,
    dirty: ReadonlySet<string>,
    settings: RuleSettings,
  ): Promise<number> {
    for (;;) {
      // Read anew for each attempt: of a refused input the sections before the refused one are in force.
      // The tools read while we render; should rendering fail, nobody waits for them.
      const reading = this.#readExisting();
      reading.catch(() => {});
      const keys = new Set([...table.keys(), ...[...this.#inForce.entries()].map(([key]) => key)]);
      const deltas = this.#deltas(table, keys, dirty, settings);
      const wanted = new RuleSet();
      wanted.apply(deltas.map(({ key, after }) => ({ key, before: undefined, after })));
      const existing = await reading;
      try {
        await this.#restore(planFull(wanted, existing, settings, this.#limit));
        await this.#restore(planCanaries());
        this.#inForce = wanted;
        this.#textIsCurrent = true;
        this.#confirm();
        return wanted.size;
      } catch (error) {
        if (error instanceof RestoreError) this.#onRestoreFailed('full');
        if (!(error instanceof RestoreError) || error.transient) throw error;
        await this.#blame(error, wanted, table);
      }
    }
  }

  async #readExisting(): Promise<ExistingRules> {
    const [filter, nat] = await waitForAll([this.#tool.save('filter'), this.#tool.save('nat')]);
    return readExistingRules(filter, nat);
  }

  /** Finds the service port that the tool refused, or throws the refusal if it is nobody's. */
  async #blame(error: RestoreError, wanted: RuleSet, table: ReadonlyMap<string, ServicePort>): Promise<void> {
    const culprit = error.owner ?? (await findRefused(wanted, (input) => this.#restore(input)));
    const port = culprit === undefined ? undefined : table.get(culprit);
    // Refused again although set aside: it is the rules it had before that are refused. Those go as well.
    if (culprit === undefined || !port) throw error;
    if (this.#setAside.isWaiting(culprit)) {
      this.#inForce.apply([{ key: culprit, before: this.#inForce.get(culprit), after: undefined }]);
    }
    this.#setAside.addServicePort(port, error.message, this.#clock.now());
  }

  /** What shall change for the given service ports. Text is made only for those that changed. */
  #deltas(
    table: ReadonlyMap<string, ServicePort>,
    keys: Iterable<string>,
    dirty: ReadonlySet<string>,
    settings: RuleSettings,
  ): RuleDelta[] {
    const deltas: RuleDelta[] = [];
    for (const key of keys) {
      const before = this.#inForce.get(key);
      const port = table.get(key);
      const keep = this.#setAside.isWaiting(key) || (before && this.#textIsCurrent && !dirty.has(key));
      deltas.push({
        key,
        before,
        after: port && (keep ? before : this.#render(port, settings, this.#style)),
      });
    }
    return deltas;
  }

  get #limit(): NatSectionLimit {
    return SECTION_LIMIT[this.#tool.version.backend];
  }

  async #restore(input: RestoreInput): Promise<void> {
    this.#transactions += input.transactions;
    const start = this.#clock.now();
    try {
      await this.#tool.restore(input);
    } finally {
      this.#kernelMs += this.#clock.now() - start;
    }
  }
}

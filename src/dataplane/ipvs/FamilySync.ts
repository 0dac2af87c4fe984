/** Keeps what the kernel holds for one IP family in agreement with the routing table. */

import type { IpFamily } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { FamilyReport } from '../Dataplane.js';
import { FamilyPending } from '../family/FamilyPending.js';
import { waitForAll } from '../family/waitForAll.js';
import { DesiredState, nothingTouched } from './desired/DesiredState.js';
import type { IpvsSettings } from './desired/IpvsSettings.js';
import { SchedulingNotes } from './desired/SchedulingNotes.js';
import type { FamilyKernel } from './kernel/FamilyKernel.js';
import { adoptMarks } from './plan/adoptMarks.js';
import { Drains } from './plan/Drains.js';
import { describeDifference } from './plan/describeDifference.js';
import { drainOnce } from './plan/drainOnce.js';
import { type Plan, splitPlan } from './plan/Plan.js';
import type { Present } from './plan/Present.js';
import { planChanges } from './plan/planChanges.js';
import { foreignServers, forgetDrains, planFull } from './plan/planFull.js';
import { reclaim } from './plan/reclaim.js';
import { urgentParts } from './plan/urgentParts.js';
import { writePlan } from './plan/writePlan.js';
import { Refusals } from './Refusals.js';
import { RuleWriting } from './rules/RuleWriting.js';

/** How often everything is planned anew in one sync because something was refused and left out. */
const ATTEMPTS = 8;

export class FamilySync {
  readonly #kernel: FamilyKernel;
  readonly #now: () => number;
  readonly #refusals: Refusals;
  readonly #notes = new SchedulingNotes();
  readonly #drains = new Drains();
  readonly #rules: RuleWriting;
  readonly #pending = new FamilyPending();
  /** What the kernel holds, while #pending says that this is known. */
  #desired: DesiredState | undefined;
  /** Keys of virtual servers in #desired that turned out to be somebody else's. */
  #notOurs = new Set<string>();
  #messages = 0;
  #kernelMs = 0;

  constructor(kernel: FamilyKernel, now: () => number) {
    this.#kernel = kernel;
    this.#now = now;
    this.#refusals = new Refusals(kernel.family);
    this.#rules = new RuleWriting(kernel);
  }

  get family(): IpFamily {
    return this.#kernel.family;
  }

  get problems(): readonly Problem[] {
    return [...this.#refusals.problems(this.#desired), ...this.#notes.problems()];
  }

  /** Whether drain() has anything to do. */
  get isDraining(): boolean {
    return !this.#drains.isEmpty;
  }

  /** Whether verify() and verifyRules() have something to compare the kernel with. */
  get isKnown(): boolean {
    return this.#desired !== undefined && this.#pending.isKnown;
  }

  /** Notes what changed; the next sync writes it, whatever happens before. */
  take(changes: readonly ServicePortChange[]): void {
    this.#notes.take(changes);
    this.#pending.take(this.#refusals.setAside.rebase(changes));
  }

  /** The next sync reads what the kernel has, and repairs what differs. */
  requireFull(): void {
    this.#pending.doubt();
    this.#rules.distrust();
  }

  /** Rejects when the kernel could not be brought to agree; nothing is lost, the next call tries everything. */
  async sync(ports: ReadonlyMap<string, ServicePort>, settings: IpvsSettings): Promise<FamilyReport> {
    const started = this.#now();
    this.#messages = 0;
    this.#kernelMs = 0;
    if (this.#refusals.isDue(started) || !sameSettings(this.#desired?.settings, settings))
      this.#pending.doubt();
    let kind: FamilyReport['kind'] = 'none';
    let written = 0;
    const { changes, isKnown } = this.#pending.begin();
    const desired = isKnown ? this.#desired : undefined;
    if (desired && (await this.#syncChanges(desired, changes, ports))) {
      written = changes.length;
      if (this.#messages > 0) kind = 'partial';
    } else {
      await this.#syncFull(ports, settings);
      kind = this.#messages > 0 ? 'full' : 'none';
      written = this.#messages > 0 ? ports.size : 0;
    }
    const transactions = this.#messages;
    const totalMs = this.#now() - started;
    return { family: this.family, kind, written, transactions, kernelMs: this.#kernelMs, totalMs };
  }

  /** Looks after real servers that wait for the end of their connections. */
  async drain(): Promise<void> {
    await drainOnce(this.#drains, this.#kernel, this.#now());
  }

  /** Everything of ours in the kernel against what we know. A sentence about the first difference. */
  async verify(): Promise<string | undefined> {
    const desired = this.#desired;
    if (!desired || !this.#pending.isKnown) return undefined;
    const present = await this.#kernel.read((key) => desired.server(key) !== undefined);
    const plan = planFull(desired, present, this.#drains);
    const wrong = describeDifference(plan, desired, present);
    if (wrong !== undefined) this.#pending.doubt();
    return wrong;
  }

  /** The same for the rules. */
  async verifyRules(): Promise<string | undefined> {
    const desired = this.#desired;
    if (!desired || !this.#pending.isKnown) return undefined;
    const wrong = await this.#rules.verify(desired.settings);
    if (wrong !== undefined) this.#pending.doubt();
    return wrong;
  }

  /** False when something was refused: then everything must be looked at. */
  async #syncChanges(
    desired: DesiredState,
    changes: readonly ServicePortChange[],
    ports: ReadonlyMap<string, ServicePort>,
  ): Promise<boolean> {
    const touched = nothingTouched();
    for (const { before, after } of changes) desired.replace(before, after, touched);
    const plan = planChanges(desired, touched, this.#drains);
    if (!(await this.#write(plan, desired, ports))) return false;
    this.#pending.confirm();
    return true;
  }

  async #syncFull(ports: ReadonlyMap<string, ServicePort>, settings: IpvsSettings): Promise<void> {
    this.#pending.begin();
    await this.#kernel.prepare();
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const [read] = await waitForAll([
        this.#kernel.read((key) => this.#isKnownOurs(key)),
        this.#rules.read(),
      ]);
      const { present, desired } = await this.#desireOf(ports, settings, read);
      forgetDrains(this.#drains, present);
      this.#desired = desired;
      if (await this.#writeFull(desired, present, ports)) {
        this.#notOurs.clear();
        this.#refusals.setAside.confirm();
        this.#pending.confirm();
        return;
      }
    }
    throw this.#refusals.tooMany();
  }

  async #desireOf(ports: ReadonlyMap<string, ServicePort>, settings: IpvsSettings, read: Present) {
    const desired = this.#desire(ports, settings, read);
    const present = await reclaim(read, desired, this.#kernel, (key) => this.#notOurs.has(key));
    return present
      ? { present, desired: this.#desire(ports, settings, present) }
      : { present: read, desired };
  }

  #desire(ports: ReadonlyMap<string, ServicePort>, settings: IpvsSettings, present: Present): DesiredState {
    const accepted = [...this.#refusals.setAside.accepted(ports)];
    const limits = { missingSchedulers: this.#refusals.missingSchedulers, foreign: foreignServers(present) };
    const desired = new DesiredState(settings, limits, adoptMarks(accepted, settings, present));
    const touched = nothingTouched();
    for (const port of accepted) desired.replace(undefined, port, touched);
    return desired;
  }

  /**
   * The API server's VIP first, as everything else on a fresh node waits for it. Rules early too, but for those of mode
   * iptables: these serve until everything here is in place.
   */
  async #writeFull(
    desired: DesiredState,
    present: Present,
    ports: ReadonlyMap<string, ServicePort>,
  ): Promise<boolean> {
    const plan = planFull(desired, present, this.#drains);
    const [first, rest] = splitPlan(plan, urgentParts(ports, desired));
    const late = this.#rules.othersAreInForce;
    const ok = await this.#write(first, desired, ports);
    if (late) return (await this.#write(rest, desired, ports)) && ok && this.#writeRules(desired.settings);
    // Should the rules be refused, the rest is wanted all the same.
    const rules = this.#writeRules(desired.settings);
    const [restOk, rulesOk] = await waitForAll([
      rules.catch(() => {}).then(() => this.#write(rest, desired, ports)),
      rules,
    ]);
    return ok && restOk && rulesOk;
  }

  async #writeRules(settings: IpvsSettings): Promise<true> {
    const started = this.#now();
    this.#messages += await this.#rules.write(settings);
    this.#kernelMs += this.#now() - started;
    return true;
  }

  /** True when nothing was refused. */
  async #write(plan: Plan, desired: DesiredState, ports: ReadonlyMap<string, ServicePort>): Promise<boolean> {
    if (plan.isEmpty && plan.draining.length === 0) return true;
    const started = this.#now();
    this.#messages += plan.size;
    const outcome = await writePlan(plan, this.#kernel, this.#drains, started);
    this.#kernelMs += this.#now() - started;
    return this.#refusals.take(outcome, ports, desired, this.#kernel, started, this.#notOurs);
  }

  #isKnownOurs(key: string): boolean {
    return this.#desired?.server(key) !== undefined && !this.#notOurs.has(key);
  }
}

function sameSettings(a: IpvsSettings | undefined, b: IpvsSettings): boolean {
  return a === undefined || a === b || JSON.stringify(a) === JSON.stringify(b);
}

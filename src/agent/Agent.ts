/**
 * Sources → routing table → dataplane. Nothing is written before every source has delivered everything; from then on every
 * change leads to a sync, foreign changes to a repair. It closes nothing that it was given: NodeAgent does.
 */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { Dataplane, DataplaneListener, FamilyReport, SyncReport } from '../dataplane/Dataplane.js';
import { messageOf } from '../errors.js';
import type { ObjectSource, SourceContact, SourceListener } from '../kubernetes/ObjectSource.js';
import type { IpAddress, IpFamily } from '../net/ip.js';
import type { Problem } from '../objects/Problem.js';
import { SyncHistory } from '../observe/admin/SyncHistory.js';
import type { EventRecorder } from '../observe/events/EventRecorder.js';
import { problemFound, repaired, starting } from '../observe/events/occurrences.js';
import { type HealthState, isHealthy } from '../observe/http/HealthServer.js';
import type { AgentMetrics } from '../observe/metrics/AgentMetrics.js';
import type { ChangeSet } from '../routing/ChangeSet.js';
import type { RoutingTable } from '../routing/RoutingTable.js';
import type { Clock } from '../time/Clock.js';
import type { ConnectionCleaning } from './ConnectionCleaning.js';
import { ProblemLog } from './ProblemLog.js';
import { HealthChecking } from './servers/HealthChecking.js';
import { ForeignChanges } from './sync/ForeignChanges.js';
import { goOnWith } from './sync/goOnWith.js';
import { SyncLog } from './sync/SyncLog.js';
import { SyncLoop } from './sync/SyncLoop.js';
import { SyncProgress } from './sync/SyncProgress.js';

/** Everything is looked at again after this time, in milliseconds. */
const FULL_SYNC_PERIOD_MS = 3_600_000;

/** Hears what the table has taken, after it. `complete` comes once, after all sources. */
export interface Follower extends Omit<SourceListener, 'problems'> {
  /** Of the table, before the kernel is told. */
  committed(changes: ChangeSet): void;
}

export interface AgentOptions {
  readonly config: NodeConfig;
  readonly sources: readonly ObjectSource[];
  readonly table: RoutingTable;
  readonly dataplane: Dataplane;
  readonly connections: Pick<ConnectionCleaning, 'take' | 'clean'>;
  readonly metrics: AgentMetrics;
  readonly events: EventRecorder;
  readonly hostAddresses: () => readonly IpAddress[];
  readonly follower?: Follower | undefined;
  /** Runs once, when the sources have begun without an error: the host is made ready for the first sync. */
  readonly beforeFirstSync: () => Promise<void>;
  /** Before the first sync, with everything read: whether it may write. False: another proxy serves, and it never does. */
  readonly mayServe?: () => Promise<boolean>;
  /** Runs once, when the first sync has succeeded: what was there before can go. */
  readonly afterFirstSync: () => Promise<void>;
  /** Once, after that: the agent is ready. */
  readonly onServing?: () => void;
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  readonly log: Logger;
}

export class Agent implements Omit<DataplaneListener, 'succeeded'> {
  readonly #config: NodeConfig;
  readonly #sources: readonly ObjectSource[];
  readonly #table: RoutingTable;
  readonly #dataplane: Dataplane;
  readonly #connections: AgentOptions['connections'];
  readonly #follower: AgentOptions['follower'];
  readonly #metrics: AgentMetrics;
  readonly #beforeFirstSync: () => Promise<void>;
  readonly #afterFirstSync: () => Promise<void>;
  readonly #mayServe: AgentOptions['mayServe'];
  readonly #onServing: AgentOptions['onServing'];
  readonly #log: Logger;
  readonly #events: EventRecorder;
  readonly #problems: ProblemLog;
  readonly #syncLog: SyncLog;
  /** The last ones, for those who look. */
  readonly syncs: SyncHistory;
  readonly #loop: SyncLoop;
  readonly #incomplete: Set<ObjectSource>;
  readonly #healthChecking: HealthChecking;
  readonly #progress: SyncProgress;
  /** Those that were synced while another failed. */
  #syncedApart: IpFamily[] = [];
  /** The host is ready for the first sync. */
  #prepared = false;
  #synced = false;
  /** On the clock. */
  #syncStarted = 0;
  /** On the clock: a sync that starts then or later looks at everything, also while changes never end. */
  #everythingDue = Number.NEGATIVE_INFINITY;
  #stopping = false;
  #isSyncing = false;
  /** The node was left to another proxy. */
  #retired = false;
  #holdsRepairs = false;
  /** Something was found meanwhile. A dataplane that has found something looks no more until it was synced. */
  #hasHeldRepair = false;
  #fullSyncs = 0;
  #cancelVerify: () => void = () => {};
  #cancelRetry: () => void = () => {};
  readonly #clock: Clock;
  readonly #foreignChanges: ForeignChanges;
  /** Cancels it; undefined while none waits. */
  #postponedRepair: (() => void) | undefined;
  #verifying: Promise<void> | undefined;

  constructor(options: AgentOptions) {
    const { config, sources, table, dataplane, connections, metrics, hostAddresses, log } = options;
    this.#config = config;
    this.#sources = sources;
    this.#table = table;
    this.#dataplane = dataplane;
    this.#connections = connections;
    this.#follower = options.follower;
    this.#metrics = metrics;
    this.#beforeFirstSync = options.beforeFirstSync;
    this.#afterFirstSync = options.afterFirstSync;
    this.#mayServe = options.mayServe;
    this.#onServing = options.onServing;
    this.#log = log;
    this.#clock = options.clock;
    this.syncs = new SyncHistory(() => this.#clock.date());
    this.#foreignChanges = new ForeignChanges(this.#clock, (what, delayMs) =>
      this.#tellForeignChange(what, delayMs),
    );
    this.#events = options.events;
    this.#problems = new ProblemLog(log, (reporter, problem) => {
      const occurrence = problemFound(reporter, problem, config.nodeName);
      if (occurrence) this.#events.record(occurrence);
    });
    this.#syncLog = new SyncLog(log, this.#clock);
    this.#incomplete = new Set(sources);
    this.#healthChecking = new HealthChecking(config.nodePortAddresses, hostAddresses, () =>
      isHealthy(this.healthState(), 2 * config.sync.period, this.#clock.date()),
    );
    this.#progress = new SyncProgress(dataplane.families, () => this.#clock.date());
    this.#loop = new SyncLoop({
      minMs: config.sync.minPeriod,
      retryMs: config.sync.period,
      maxMs: FULL_SYNC_PERIOD_MS,
      run: () => this.#sync(),
      clock: options.clock,
      random: options.random,
      log,
    });
  }

  /** Whether the table has what all sources have. */
  get isComplete(): boolean {
    return this.#incomplete.size === 0;
  }

  /** Resolves when everything runs; the first sync follows once the sources are complete. */
  async start(): Promise<void> {
    this.#events.record(starting(this.#config.nodeName, this.#config.mode));
    for (const source of this.#sources) {
      await source.start({
        changes: (batch) => {
          this.#table.apply(batch);
          this.#metrics.objectsChanged(batch);
          this.#follower?.changes(batch);
          this.#requestSync();
        },
        complete: () => {
          this.#incomplete.delete(source);
          this.#log.info(`${source.name}: everything has been read`);
          this.#requestSync();
          if (this.isComplete) this.#follower?.complete();
        },
        others: (list) => this.#follower?.others?.(list),
        problems: (list) => this.#problems.set(source.name, list),
      });
    }
    await this.#beforeFirstSync();
    this.#prepared = true;
    this.#requestSync();
    this.#scheduleVerify();
  }

  /** Resolves when nothing is under way any more. The rules stay: traffic goes on while no agent runs. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancelVerify();
    this.#postponedRepair?.();
    this.#foreignChanges.flush();
    await this.#verifying;
    await this.#loop.stop();
    this.#cancelRetry();
    this.#healthChecking.close();
  }

  /** Ends the syncs for good, also from within one: another proxy serves this node. */
  async retire(): Promise<void> {
    this.#retired = true;
    if (!this.#isSyncing) await this.stop();
  }

  /** What others write is left as it is meanwhile. */
  holdRepairs(holds: boolean): void {
    this.#holdsRepairs = holds;
    if (holds || !this.#hasHeldRepair) return;
    this.#hasHeldRepair = false;
    if (!this.#stopping && !this.#retired) this.#loop.requestUrgent();
  }

  /** How many syncs wrote everything. */
  get fullSyncs(): number {
    return this.#fullSyncs;
  }

  familyFailed(family: IpFamily): void {
    this.#metrics.syncFailed(family, this.#clock.now() - this.#syncStarted);
  }

  familySynced(report: FamilyReport): void {
    this.#noteSynced([report]);
    this.#syncedApart.push(report.family);
  }

  captured(changes: ChangeSet): void {
    this.#connections.take(changes);
  }

  restoreFailed(family: IpFamily, kind: 'full' | 'partial'): void {
    this.#metrics.restoreFailed(family, kind);
  }

  /** The host's addresses are others: node ports may have to move. */
  hostChanged(): void {
    this.#requestSync();
  }

  #requestSync(): void {
    // Changes that arrive before everything is there are not late yet.
    if (!this.isComplete || !this.#prepared) return;
    this.#progress.requested();
    this.#metrics.syncQueued();
    this.#loop.request();
  }

  async #sync(): Promise<void> {
    this.#isSyncing = true;
    try {
      await this.#syncOnce();
    } finally {
      this.#isSyncing = false;
    }
  }

  async #syncOnce(): Promise<void> {
    if (this.#retired) return;
    await this.#verifying;
    this.#progress.taken();
    const changes = this.#table.commit();
    this.#follower?.committed(changes);
    if (!this.#synced && this.#mayServe && !(await this.#mayServe())) return;
    this.#healthChecking.take(changes);
    // A proxy says itself where connections lead to.
    if (this.#config.mode !== 'userspace') this.#connections.take(changes);
    this.#metrics.taken(changes);
    let report: SyncReport;
    this.#syncedApart = [];
    this.#syncStarted = this.#clock.now();
    if (this.#syncStarted >= this.#everythingDue) this.#dataplane.requireFull();
    try {
      report = await this.#dataplane.sync(this.#table, changes);
    } catch (error) {
      this.#noteFailed(error);
      await this.#updateHealthChecks(this.#syncedApart);
      throw error;
    }
    if (this.#syncStarted >= this.#everythingDue)
      this.#everythingDue = this.#syncStarted + FULL_SYNC_PERIOD_MS;
    this.#noteSynced(report.families);
    if (report.families.some(({ kind }) => kind === 'full')) this.#fullSyncs++;
    // It is in force: said before connections are looked at, which may take the kernel long.
    this.#syncLog.add(this.#table, changes, report);
    void this.#connections.clean(this.#table);
    goOnWith(report, this.#connections, this.#loop);
    this.#problems.set('routing', this.#table.problems());
    this.#problems.set('dataplane', report.problems);
    const unopened = await this.#updateHealthChecks(report.families.map(({ family }) => family));
    this.#retryLater(report.problems.length + unopened > 0);
    this.#foreignChanges.flush();
    if (this.#synced) return;
    await this.#afterFirstSync();
    this.#synced = true;
    this.#onServing?.();
  }

  /** Resolves to how many problems are left. */
  async #updateHealthChecks(families: readonly IpFamily[]): Promise<number> {
    const problems = await this.#healthChecking.update(this.#table, families);
    this.#problems.set('health-check ports', problems);
    return problems.length;
  }

  /** On a node where nothing changes no sync would come for what was set aside; one that finds none due costs nothing. */
  #retryLater(isWanted: boolean): void {
    this.#cancelRetry();
    if (!isWanted || this.#stopping) return;
    this.#cancelRetry = this.#clock.after(this.#config.sync.period, () => this.#requestSync());
  }

  #noteFailed(error: unknown): void {
    const milliseconds = this.#clock.now() - this.#syncStarted;
    this.syncs.add({ family: '', kind: 'partial', written: 0, milliseconds, failure: messageOf(error) });
  }

  #noteSynced(families: readonly FamilyReport[]): void {
    for (const { family, kind, written, totalMs } of families) {
      this.#progress.synced(family);
      if (kind !== 'none') this.syncs.add({ family, kind, written, milliseconds: totalMs, failure: '' });
    }
    this.#metrics.synced(families);
  }

  #scheduleVerify(): void {
    if (this.#stopping) return;
    this.#cancelVerify = this.#clock.after(this.#config.verifyPeriod, () => {
      this.#verifying = this.#verify().finally(() => {
        this.#verifying = undefined;
        this.#scheduleVerify();
      });
    });
  }

  async #verify(): Promise<void> {
    if (!this.#synced || this.#loop.busy || this.#holdsRepairs) return;
    try {
      const wrong = await this.#dataplane.verify();
      if (wrong !== undefined) this.foreignChange(wrong);
    } catch (error) {
      this.#log.error({ err: error }, `the rules could not be verified: ${messageOf(error)}`);
    }
  }

  /** While repairs are held it may be the mark of whoever asked for that, so nothing is said of it. */
  foreignChange(wrong: string): void {
    if (this.#holdsRepairs) this.#hasHeldRepair = true;
    else this.#repair(wrong);
  }

  #repair(wrong: string): void {
    // One that waits already will take care of this too.
    if (this.#stopping || this.#retired || this.#postponedRepair !== undefined) return;
    const delay = this.#foreignChanges.add(wrong);
    if (delay === 0) {
      this.#loop.requestUrgent();
      return;
    }
    this.#postponedRepair = this.#clock.after(delay, () => {
      this.#postponedRepair = undefined;
      this.#loop.requestUrgent();
    });
  }

  #tellForeignChange(what: string, delayMs: number): void {
    this.#metrics.repairing();
    this.#events.record(repaired(this.#config.nodeName, what));
    if (delayMs === 0) this.#log.warn(`somebody changed our rules, repairing: ${what}`);
    else {
      const seconds = Math.ceil(delayMs / 1000);
      this.#log.warn(
        `somebody changes our rules again and again, repairing in ${seconds} s: ${what}. Is a second proxy running here?`,
      );
    }
  }

  /** For the health server. */
  healthState(): HealthState {
    const waiting = [...this.#incomplete].map((source) => source.name).join(', ');
    return {
      families: this.#progress.health,
      ready: this.#synced && !this.#retired,
      reason: this.#retired
        ? 'this node is left to another proxy'
        : waiting
          ? `waiting for ${waiting}`
          : 'the first sync has not succeeded yet',
      // A folder of manifests need not have a Node; a cluster does.
      nodeEligible: this.#table.nodeObject?.eligible ?? this.#config.manifests !== '',
      contacts: this.contacts(),
    };
  }

  /** Everything that is set aside or in conflict now. */
  problems(): readonly Problem[] {
    return this.#problems.all();
  }

  /** For metrics and the health server. Empty without an API server. */
  contacts(): readonly SourceContact[] {
    return this.#sources.flatMap((source) => source.contacts?.() ?? []);
  }
}

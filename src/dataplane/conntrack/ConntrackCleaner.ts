/**
 * Deletes the conntrack entries that contradict the routing table, so that clients which go on sending reach an
 * endpoint that is there. Looks only when a change may have left some behind, and at nothing that cannot be.
 *
 * One look costs a walk of the kernel's table (20 ms with 262,144 buckets) and 3 microseconds for each entry listed. So
 * looks are spaced, each takes care of all changes until then, and when nothing but an endpoint was lost, the kernel
 * lists just the entries of that one: a rolling update of DNS costs one walk for every pod that goes.
 */

import type { ConntrackEntry } from '../../kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus, IpProtocol } from '../../kernel/conntrack/constants.js';
import type { ConntrackFilter } from '../../kernel/conntrack/requests.js';
import { IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import { NodePortAddresses } from './Destinations.js';
import { canBeContradicted, findContradictions } from './findContradictions.js';
import { OwedChecks } from './OwedChecks.js';

/** kernel/conntrack/Conntrack.ts, as far as it is needed here. */
export interface ConntrackTable {
  selectsReplySource(family: IpFamily): boolean;
  list(filter: ConntrackFilter): Promise<readonly ConntrackEntry[]>;
  delete(entries: readonly ConntrackEntry[]): Promise<number>;
}

export interface CleanReport {
  /** Entries. */
  readonly deleted: number;
}

export interface CleanerOptions {
  readonly conntrack: ConntrackTable;
  /** Is given every clean that runs later than it was asked for. Must take care of its rejection. */
  readonly onPostponed: (cleaning: Promise<CleanReport>) => void;
  /** Hears of every look at the table: entries that were deleted, and how long it took. Must not throw. */
  readonly onLooked?: (family: IpFamily, deleted: number, milliseconds: number) => void;
  /** Milliseconds between two looks at one protocol of one family. Default 1000. */
  readonly intervalMs?: number;
  /** The same when a UDP endpoint was lost. Default 100. */
  readonly urgentMs?: number;
  readonly clock?: Clock;
}

interface Task {
  readonly family: IpFamily;
  readonly protocol: 'UDP' | 'TCP';
  /** By key; what entries are held against. The routing table may be ahead, and old rules go on making entries. */
  readonly inForce: Map<string, ServicePort>;
  /** Changes of `inForce` to come, undefined for removals, and what must be looked at because of them. */
  readonly coming: Map<string, ServicePort | undefined>;
  noted: OwedChecks;
  owed: OwedChecks;
  /** When its last look ended, or failed; on the clock. */
  lookedAt: number;
  /** In a row. */
  failures: number;
}

/** A connection that had an answer lives or dies by TCP's own rules; one that had none would try for minutes. */
const FILTER = {
  UDP: { protocol: IpProtocol.UDP },
  TCP: { protocol: IpProtocol.TCP, status: { mask: ConntrackStatus.SEEN_REPLY, value: 0 } },
} as const;

/** Walks of the kernel's table instead of one list of everything; each costs as much as some 7000 entries. */
const MAX_WALKS = 2;
/** Milliseconds after a first failure; doubles with each further one. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

export class ConntrackCleaner {
  readonly #options: Required<CleanerOptions>;
  readonly #tasks: readonly Task[];
  #addresses: readonly IpAddress[] = [];
  #localhostTargets: readonly string[] = [];
  #running: Promise<CleanReport> | undefined;
  #cancelTimer: () => void = () => {};
  /** When the timer runs out; Infinity without one. */
  #timerAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(options: CleanerOptions) {
    this.#options = {
      onLooked: () => {},
      intervalMs: 1000,
      urgentMs: 100,
      clock: systemClock,
      ...options,
    };
    this.#tasks = IP_FAMILIES.flatMap((family) =>
      (['UDP', 'TCP'] as const).map((protocol) => ({
        family,
        protocol,
        inForce: new Map(),
        coming: new Map(),
        noted: new OwedChecks(),
        owed: OwedChecks.everything(),
        lookedAt: Number.NEGATIVE_INFINITY,
        failures: 0,
      })),
    );
  }

  /**
   * Takes a commit's changes, before they are written to the kernel; it must be given all of them from the first on.
   * Costs as much as what changed. Nothing is done about them before the next clean(), so a sync that fails loses none.
   */
  take(family: IpFamily, changes: readonly ServicePortChange[]): void {
    for (const change of changes) {
      const protocol = (change.after ?? change.before)?.protocol;
      const task = this.#tasks.find((one) => one.family === family && one.protocol === protocol);
      task?.noted.note(change);
      task?.coming.set(change.key, change.after);
    }
  }

  /**
   * Says that all that was taken is in force: to be called after every sync that succeeded, however often that is. The
   * first call looks at everything, later ones at what the changes concern. What is not due yet is done later, without
   * another call; `onPostponed` hears of it. Resolves to what was deleted before it returned. Rejects as Conntrack
   * does; what was to be looked at is then tried again, by a later call or by itself.
   * `nodePortAddresses`: this node's addresses at which node ports are served, of both families. `localhostTargets`:
   * `127.0.0.1:4711`, where this agent itself takes what is sent to them on loopback.
   */
  async clean(
    nodePortAddresses: readonly IpAddress[],
    localhostTargets: readonly string[] = [],
  ): Promise<CleanReport> {
    this.#addresses = nodePortAddresses;
    this.#localhostTargets = localhostTargets;
    for (const task of this.#tasks) putInForce(task);
    if (this.#running === undefined && this.#nextDue() <= this.#options.clock.now()) return this.#start();
    this.#setTimer();
    return { deleted: 0 };
  }

  /** Resolves when the look in progress, if any, has ended. None begins after this. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#clearTimer();
    await this.#running?.catch(() => {});
  }

  #dueAt(task: Task): number {
    if (task.owed.empty) return Number.POSITIVE_INFINITY;
    const { intervalMs, urgentMs } = this.#options;
    const pause = task.protocol === 'UDP' && task.owed.urgent ? urgentMs : intervalMs;
    const retry = task.failures === 0 ? 0 : Math.min(RETRY_MS * 2 ** (task.failures - 1), MAX_RETRY_MS);
    return task.lookedAt + Math.max(pause, retry);
  }

  #nextDue(): number {
    return this.#stopped
      ? Number.POSITIVE_INFINITY
      : Math.min(...this.#tasks.map((task) => this.#dueAt(task)));
  }

  #setTimer(): void {
    const due = this.#nextDue();
    if (this.#running !== undefined || due >= this.#timerAt) return;
    this.#clearTimer();
    this.#timerAt = due;
    const { clock, onPostponed } = this.#options;
    this.#cancelTimer = clock.after(Math.max(0, Math.ceil(due - clock.now())), () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      // Timers of Node may run out a moment early.
      if (this.#nextDue() > clock.now()) this.#setTimer();
      else onPostponed(this.#start());
    });
  }

  #clearTimer(): void {
    this.#cancelTimer();
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #start(): Promise<CleanReport> {
    this.#clearTimer();
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#setTimer();
    });
    return this.#running;
  }

  async #run(): Promise<CleanReport> {
    let deleted = 0;
    const failures: unknown[] = [];
    for (const task of this.#tasks) {
      if (this.#dueAt(task) > this.#options.clock.now()) continue;
      const checks = task.owed;
      task.owed = new OwedChecks();
      try {
        const started = this.#options.clock.now();
        const entries = await this.#look(task, checks);
        deleted += entries;
        this.#options.onLooked?.(task.family, entries, this.#options.clock.now() - started);
        task.failures = 0;
      } catch (error) {
        task.owed.merge(checks);
        task.failures++;
        failures.push(error);
      }
      task.lookedAt = this.#options.clock.now();
    }
    if (failures.length > 0) throw failures[0];
    return { deleted };
  }

  async #look({ family, protocol, inForce: servicePorts }: Task, checks: OwedChecks): Promise<number> {
    if (!canBeContradicted({ checks, servicePorts })) return 0;
    const entries = await this.#list({ family, ...FILTER[protocol] }, checks);
    const nodePortAddresses = new NodePortAddresses(this.#addresses);
    const localhostTargets = new Set(this.#localhostTargets);
    const stale = findContradictions(entries, { checks, servicePorts, nodePortAddresses, localhostTargets });
    return stale.length === 0 ? 0 : this.#options.conntrack.delete(stale);
  }

  async #list(filter: ConntrackFilter, checks: OwedChecks): Promise<readonly ConntrackEntry[]> {
    const { conntrack } = this.#options;
    const sources = checks.replySources;
    if (sources === 'any' || sources.length > MAX_WALKS || !conntrack.selectsReplySource(filter.family)) {
      return conntrack.list(filter);
    }
    const lists: (readonly ConntrackEntry[])[] = [];
    for (const { address, port } of sources) {
      lists.push(await conntrack.list({ ...filter, replySource: { address, port } }));
    }
    return lists.flat();
  }
}

function putInForce(task: Task): void {
  for (const [key, port] of task.coming) {
    if (port === undefined) task.inForce.delete(key);
    else task.inForce.set(key, port);
  }
  task.coming.clear();
  if (task.noted.empty) return;
  task.owed.merge(task.noted);
  task.noted = new OwedChecks();
}

/** Tells of syncs: of full ones and slow ones at once, of the many small ones once in a while what they came to. */

import type { Logger } from 'pino';
import type { SyncReport } from '../../dataplane/Dataplane.js';
import { type ChangeSet, isEmpty } from '../../routing/ChangeSet.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Clock } from '../../time/Clock.js';

/** Milliseconds between two summaries of small syncs. */
const SUMMARY_MS = 60_000;
/** Milliseconds from which on a small sync is told by itself. */
const SLOW_MS = 1000;

export class SyncLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  #since: number;
  #syncs = 0;
  #written = 0;
  #slowestMs = 0;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    // The first small sync is told at once.
    this.#since = Number.NEGATIVE_INFINITY;
  }

  add(table: RoutingTable, changes: ChangeSet, report: SyncReport): void {
    const worked = report.families.filter((family) => family.kind !== 'none');
    if (worked.length === 0 && isEmpty(changes)) return;
    const newest = changes.triggerTimes.reduce(
      (most, time) => Math.max(most, time),
      Number.NEGATIVE_INFINITY,
    );
    const families = worked.map(({ family, kind, written, kernelMs, totalMs }) => {
      const servicePorts = table.servicePorts(family).size;
      return { family, kind, servicePorts, written, ms: Math.round(totalMs), kernelMs: Math.round(kernelMs) };
    });
    const latency = Number.isFinite(newest) ? { sinceChangeMs: Math.round(this.#clock.date()) - newest } : {};
    const text = families.map((f) => `${f.family} ${f.kind} ${f.written}/${f.servicePorts} in ${f.ms} ms`);
    const details = { families, setAside: report.problems.length, ...latency };
    const line = `synced: ${text.join(', ') || 'nothing to write'}`;
    if (families.some(({ kind, ms }) => kind === 'full' || ms >= SLOW_MS)) this.#log.info(details, line);
    else {
      this.#log.debug(details, line);
      this.#count(worked);
    }
  }

  #count(worked: SyncReport['families']): void {
    this.#syncs++;
    for (const { written, totalMs } of worked) {
      this.#written += written;
      this.#slowestMs = Math.max(this.#slowestMs, totalMs);
    }
    const now = this.#clock.now();
    if (now - this.#since < SUMMARY_MS) return;
    const slowest = this.#slowestMs.toFixed(1);
    this.#log.info(
      `synced ${this.#written} changed service ports in ${this.#syncs} syncs, the slowest took ${slowest} ms`,
    );
    this.#since = now;
    this.#syncs = 0;
    this.#written = 0;
    this.#slowestMs = 0;
  }
}

/** Of each family: when it was last brought into agreement, and since when a change waits to be in force. */
import type { IpFamily } from '../../net/ip.js';
import type { FamilyHealth } from '../../observe/http/HealthServer.js';

interface Progress {
  /** All in milliseconds since the epoch. */
  updated: number;
  /** The oldest change that no sync has taken. */
  waiting: number | undefined;
  /** The oldest change of those that a sync has taken and not yet put in force. */
  taken: number | undefined;
}

export class SyncProgress {
  readonly #now: () => number;
  readonly #families: ReadonlyMap<IpFamily, Progress>;

  /** `now`: milliseconds since the epoch. Like kube-proxy's, a family counts as right from the start. */
  constructor(families: readonly IpFamily[], now: () => number) {
    this.#now = now;
    this.#families = new Map(
      families.map((family) => [family, { updated: now(), waiting: undefined, taken: undefined }]),
    );
  }

  /** A change has arrived. */
  requested(): void {
    for (const progress of this.#families.values()) progress.waiting ??= this.#now();
  }

  /** A sync begins with everything that waits. It may hang: what it has taken still waits. */
  taken(): void {
    for (const progress of this.#families.values()) {
      progress.taken ??= progress.waiting ?? this.#now();
      progress.waiting = undefined;
    }
  }

  synced(family: IpFamily): void {
    const progress = this.#families.get(family);
    if (progress === undefined) return;
    progress.updated = this.#now();
    progress.taken = undefined;
  }

  get health(): ReadonlyMap<IpFamily, FamilyHealth> {
    return new Map(
      [...this.#families].map(([family, { updated, waiting, taken }]) => [
        family,
        { updated, pendingSince: taken ?? waiting },
      ]),
    );
  }
}

/**
 * What the nodes of a cluster say of Services that may sleep, from their Leases. How old a Lease is, is how long it has not been seen to
 * change, on the clock here: clocks of nodes differ.
 */
import type { Clock } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import { type Activities, type Activity, GONE_MS, readActivityLease } from './activityLease.js';

interface Seen {
  readonly activities: Activities;
  readonly changedAt: Milliseconds;
}

const NOTHING: Activity = { connections: 0, waits: false };

export class ClusterActivity {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #seen = new Map<string, Seen>();

  constructor(clock: Clock, onChange: () => void = () => {}) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** From a watch. Anything may come in. */
  take(changes: readonly { readonly type: 'upsert' | 'delete'; readonly raw: unknown }[]): void {
    for (const { type, raw } of changes) {
      const lease = readActivityLease(raw);
      if (lease === undefined) continue;
      if (type === 'delete') this.#seen.delete(lease.node);
      else this.#seen.set(lease.node, { activities: lease.activities, changedAt: this.#clock.now() });
    }
    this.#onChange();
  }

  /** Of all nodes that live. Undefined: no node has anything of it. `except`: not of this one. */
  of(path: string, except = ''): Activity | undefined {
    let found: Activity | undefined;
    for (const [node, { activities }] of this.#living()) {
      if (node === except) continue;
      const own = activities === 'everything' ? NOTHING : activities.get(path);
      if (own === undefined) continue;
      found = {
        connections: (found?.connections ?? 0) + own.connections,
        waits: own.waits || (found?.waits ?? false),
      };
    }
    return found;
  }

  /** Whether a node lives, as far as is seen: of this one, whether anything is seen at all. */
  sees(node: string): boolean {
    return this.#living().some(([each]) => each === node);
  }

  /** Whether a node speaks for all: of those that live, the first by name. It is one of them itself. */
  leads(node: string): boolean {
    for (const [other] of this.#living()) if (other < node) return false;
    return true;
  }

  #living(): readonly (readonly [node: string, seen: Seen])[] {
    const now = this.#clock.now();
    return [...this.#seen].filter(([, { changedAt }]) => now - changedAt <= GONE_MS);
  }
}

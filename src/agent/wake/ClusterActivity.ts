/**
 * What the nodes of a cluster say of Services that may sleep, from their Leases. How old a Lease is, is how long it has not been seen to
 * change, on the clock here: clocks of nodes differ.
 */
import type { LeaseChange } from '../../balancer/membership/LeaseStore.js';
import type { Clock } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import { type Activities, GONE_MS, leaseNameIn, readActivityLease } from './activityLease.js';
import type { LeaseKnowledge } from './LeaseKnowledge.js';

interface Seen {
  readonly node: string;
  readonly version: string;
  readonly activities: Activities;
  /** -Infinity: it was old when it was seen first. */
  readonly changedAt: Milliseconds;
}

/** What all nodes that live have of a Service. */
export interface ClusterUse {
  /** Some node has connections, or somebody who waits. Undefined: nobody is seen to, and it is not certain. */
  readonly active: boolean | undefined;
  /** At most Number.MAX_SAFE_INTEGER. Undefined: it is not known. */
  readonly connections: number | undefined;
  readonly waits: boolean;
  /** Nothing at all is known: the Leases were not read yet, or the API server is away. */
  readonly isBlind: boolean;
  /** Why something of it is not known. */
  readonly why: string | undefined;
}

/** Clocks of nodes may be wrong by so much. */
const WRONG_CLOCK_MS: Milliseconds = 300_000;
const WHY = {
  unread: 'the Leases of the nodes are not read yet',
  away: 'the API server is away, so that nobody knows what the nodes have',
  settling: 'the API server was away, or was not asked before: nodes get the time to renew their Leases',
} as const;

export class ClusterActivity {
  readonly #clock: Clock;
  readonly #knowledge: LeaseKnowledge;
  readonly #onChange: () => void;
  /** By the name of the Lease: those that there are, and no others. */
  readonly #seen = new Map<string, Seen>();

  constructor(clock: Clock, knowledge: LeaseKnowledge, onChange: () => void = () => {}) {
    this.#clock = clock;
    this.#knowledge = knowledge;
    this.#onChange = onChange;
  }

  /** From a watch. Anything may come in. */
  take(changes: readonly LeaseChange[]): void {
    for (const { type, raw } of changes) {
      const name = leaseNameIn(raw);
      const lease = type === 'delete' ? undefined : readActivityLease(raw);
      if (lease === undefined) {
        this.#seen.delete(name);
        continue;
      }
      const { node, version, activities, renewed } = lease;
      const before = this.#seen.get(name);
      // Whoever reads everything again hands over what was seen before.
      if (before && version !== '' && before.version === version) continue;
      const isFresh = before !== undefined || this.#isFresh(renewed);
      if (!isFresh) this.#knowledge.settle();
      const changedAt = isFresh ? this.#clock.now() : Number.NEGATIVE_INFINITY;
      this.#seen.set(name, { node, version, activities, changedAt });
    }
    this.#onChange();
  }

  /** In the first reading a Lease may be of a node that is gone for long. What is new later was written just now. */
  #isFresh(renewed: number | undefined): boolean {
    return this.#knowledge.isRead || renewed === undefined || this.#clock.date() - renewed <= WRONG_CLOCK_MS;
  }

  /** Of all nodes that live. `except`: not of this one. */
  of(path: string, except = ''): ClusterUse {
    const { state } = this.#knowledge;
    if (state === 'unread' || state === 'away')
      return { active: undefined, connections: undefined, waits: false, isBlind: true, why: WHY[state] };
    let why: string | undefined = state === 'settling' ? WHY.settling : undefined;
    let [isActive, waits, connections] = [false, false, 0];
    for (const { node, activities } of this.#living()) {
      if (node === except) continue;
      const own = activities.services.get(path);
      if (own) {
        isActive = true;
        waits ||= own.waits;
        connections = Math.min(connections + own.connections, Number.MAX_SAFE_INTEGER);
      } else if (activities.others === 'active') {
        isActive = true;
        why ??= `node ${node} has too many Services to name them, or its Lease cannot be read`;
      } else if (activities.others === 'unknown')
        why ??= `node ${node} has not looked at its connections yet`;
    }
    const isCertain = why === undefined;
    return {
      active: isActive || (isCertain ? false : undefined),
      connections: isCertain ? connections : undefined,
      waits,
      isBlind: false,
      why,
    };
  }

  /** Whether a node is seen to live, also while the watch says nothing: of this one, whether anything is seen at all. */
  sees(node: string): boolean {
    const now = this.#clock.now();
    return [...this.#seen.values()].some((seen) => seen.node === node && now - seen.changedAt <= GONE_MS);
  }

  /** Whether a node speaks for all: of those that live, the first by name. It is one of them itself. */
  leads(node: string): boolean {
    return this.#living().every((other) => other.node >= node);
  }

  #living(): readonly Seen[] {
    const { heardAt } = this.#knowledge;
    return [...this.#seen.values()].filter(({ changedAt }) => heardAt - changedAt <= GONE_MS);
  }
}

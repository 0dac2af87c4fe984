/**
 * To which nodes packets may be sent. Heartbeats tell deaths of agents, and SilentNodes whose machine lives on. But a node whose
 * own cable is out hears nobody: it must not learn from that that all the others are dead, or connections go astray when it is
 * back.
 */
import type { Liveness } from '../layer2/election.js';
import type { MembershipView } from '../membership/Member.js';

/** Milliseconds that a death must last: those of all others come within this time when the fault is here. */
const DEATH_MS = 500;
/** Milliseconds after this node was deaf, in which the others are heard again one after the other. */
const RECOVERY_MS = 3000;
const NOBODY: ReadonlySet<string> = new Set();

export class AliveNodes {
  readonly #self: string;
  readonly #deadSince = new Map<string, number>();
  #known: ReadonlySet<string> = new Set();
  #deafAt = Number.NEGATIVE_INFINITY;
  #nextLook: number | undefined;

  constructor(self: string) {
    this.#self = self;
  }

  /** When of() may answer something else although nothing is told; undefined: not. On the clock. */
  get nextLook(): number | undefined {
    return this.#nextLook;
  }

  /** Dead by their heartbeats, when of() was asked last. */
  get silent(): ReadonlySet<string> {
    return new Set(this.#deadSince.keys());
  }

  /** This node among them. `answering`: silent nodes whose machine lives (SilentNodes). `now` on the clock. */
  of(
    { members }: MembershipView,
    liveness: Liveness,
    now: number,
    answering: ReadonlySet<string> = NOBODY,
  ): ReadonlySet<string> {
    // The Lease of an agent that is replaced may run out meanwhile.
    const fresh = [...members.values()]
      .filter(({ name, fresh }) => fresh || (answering.has(name) && this.#known.has(name)))
      .map(({ name }) => name);
    const others = fresh.filter((name) => name !== this.#self);
    for (const name of this.#deadSince.keys())
      if (liveness.get(name) !== 'dead') this.#deadSince.delete(name);
    for (const name of others)
      if (liveness.get(name) === 'dead' && !this.#deadSince.has(name)) this.#deadSince.set(name, now);
    const dead = others.filter((name) => this.#deadSince.has(name));
    // One peer that is silent may well be dead; of several, all at once are not.
    if (others.length > 1 && dead.length === others.length) this.#deafAt = now;
    const young = dead.map((name) => (this.#deadSince.get(name) ?? now) + DEATH_MS).filter((at) => at > now);
    const recovered = this.#deafAt + RECOVERY_MS;
    this.#nextLook =
      dead.length === 0 ? undefined : Math.min(...(recovered > now ? [recovered] : []), ...young);
    if (this.#nextLook === Number.POSITIVE_INFINITY) this.#nextLook = undefined;
    if (recovered > now)
      return new Set(fresh.filter((name) => this.#known.has(name) || !this.#deadSince.has(name)));
    this.#known = new Set(
      fresh.filter(
        (name) =>
          now - (this.#deadSince.get(name) ?? Number.POSITIVE_INFINITY) < DEATH_MS ||
          !this.#deadSince.has(name) ||
          answering.has(name),
      ),
    );
    return this.#known;
  }
}

/**
 * To which nodes packets may be sent. Heartbeats tell deaths, but a node whose own cable is out hears nobody: it must not learn from
 * that that all the others are dead, or connections go astray when it is back.
 */
import type { Liveness } from '../layer2/election.js';
import type { MembershipView } from '../membership/Member.js';

/** Milliseconds that a death must last: those of all others come within this time when the fault is here. */
const DEATH_MS = 500;
/** Milliseconds after this node was deaf, in which the others are heard again one after the other. */
const RECOVERY_MS = 3000;

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

  /** This node among them. `now` on the clock. */
  of({ members }: MembershipView, liveness: Liveness, now: number): ReadonlySet<string> {
    const fresh = [...members.values()].filter((member) => member.fresh).map(({ name }) => name);
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
          !this.#deadSince.has(name),
      ),
    );
    return this.#known;
  }
}

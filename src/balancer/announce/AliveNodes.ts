/**
 * To which nodes packets may be sent. Heartbeats tell deaths of agents, and SilentNodes whose machine lives on. But a node whose
 * own cable is out hears nobody: it must not learn from that that all the others are dead, or connections go astray when it is
 * back. Where traffic passes through the agent itself (mode userspace), a machine without it carries nothing: such a node takes no
 * new connections as soon as it says that it leaves, and gets no packets when its agent has died, whatever its machine answers. An
 * agent that begins is as one that leaves until its first sync: a node that was passed over comes back then.
 */
import type { Liveness } from '../layer2/election.js';
import type { MembershipView } from '../membership/Member.js';

/** Milliseconds that a death must last: those of all others come within this time when the fault is here. */
const DEATH_MS = 500;
/** Milliseconds after this node was deaf, in which the others are heard again one after the other. */
const RECOVERY_MS = 3000;
const NOBODY: ReadonlySet<string> = new Set();

export interface Alive {
  /** To which packets may be sent. */
  readonly nodes: ReadonlySet<string>;
  /** Those of them that take new connections. */
  readonly taking: ReadonlySet<string>;
}

export class AliveNodes {
  readonly #self: string;
  readonly #deadSince = new Map<string, number>();
  /** Those that have said that they leave and carry nothing, until they serve. */
  readonly #left = new Set<string>();
  /** Of the last look. */
  #known: ReadonlySet<string> | undefined;
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

  /**
   * This node among them. `answering`: silent nodes whose machine lives (SilentNodes). `endingWithAgent`: nodes whose traffic ends
   * with their agent. `now` on the clock.
   */
  of(
    { members }: MembershipView,
    liveness: Liveness,
    now: number,
    answering: ReadonlySet<string> = NOBODY,
    endingWithAgent: ReadonlySet<string> = NOBODY,
  ): Alive {
    const known = this.#known;
    for (const name of this.#left) if (!members.has(name)) this.#left.delete(name);
    for (const { name } of members.values()) {
      const state = liveness.get(name);
      // Nobody may be heard at all.
      if (state === 'alive' || state === undefined) this.#left.delete(name);
      else if (state === 'leaving' && (endingWithAgent.has(name) || known?.has(name) === false))
        this.#left.add(name);
    }
    const carries = (name: string) => answering.has(name) && !endingWithAgent.has(name);
    // The Lease of an agent that is replaced may run out meanwhile.
    const fresh = [...members.values()]
      .filter(({ name, fresh }) => fresh || (carries(name) && known?.has(name) === true))
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
      return this.#alive(fresh.filter((name) => known?.has(name) || !this.#deadSince.has(name)));
    this.#known = new Set(
      fresh.filter(
        (name) =>
          now - (this.#deadSince.get(name) ?? Number.POSITIVE_INFINITY) < DEATH_MS ||
          !this.#deadSince.has(name) ||
          carries(name),
      ),
    );
    return this.#alive([...this.#known]);
  }

  #alive(names: readonly string[]): Alive {
    return { nodes: new Set(names), taking: new Set(names.filter((name) => !this.#left.has(name))) };
  }
}

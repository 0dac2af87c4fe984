/**
 * Who may announce, without a cluster: the nodes of the configuration. Nobody's Lease tells who lives, so heartbeats do: who is
 * not heard within the first moments is dead until it is.
 */
import type { Clock } from '../../time/Clock.js';
import type { Member, MembershipView } from './Member.js';

/** Milliseconds after which a node that lives has been heard: a few heartbeats. */
export const SETTLE_MS = 1200;

export interface StaticMembershipOptions {
  readonly members: readonly Member[];
  readonly clock: Clock;
  readonly onView: (view: MembershipView) => void;
  /** Called once: who is alive by now is known; everybody else is not there. */
  readonly onSettled: () => void;
}

export class StaticMembership {
  readonly #cancel: () => void;

  constructor({ members, clock, onView, onSettled }: StaticMembershipOptions) {
    onView({ members: new Map(members.map((member) => [member.name, member])), connected: true });
    this.#cancel = clock.after(SETTLE_MS, onSettled);
  }

  stop(): void {
    this.#cancel();
  }
}

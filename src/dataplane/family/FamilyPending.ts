/**
 * What of one family's service ports is still to be written, and whether the kernel is known to hold what came before.
 * take() notes, begin() hands out, confirm() says that it was written. Whatever fails in between, nothing is lost: without
 * confirm() the next begin() hands out the same again, and says that the kernel must be looked at.
 */
import type { ServicePortChange } from '../../routing/ChangeSet.js';

export interface Begun {
  /** One for each service port: the first `before` and the last `after` since the last confirm(). */
  readonly changes: readonly ServicePortChange[];
  /** True: the kernel holds each `before`, and all that did not change. False: what it holds must be read first. */
  readonly isKnown: boolean;
}

export class FamilyPending {
  #changes = new Map<string, ServicePortChange>();
  /** Handed out, not confirmed. */
  #begun: Map<string, ServicePortChange> | undefined;
  #isKnown = false;
  /** One more whenever what the kernel holds came into doubt: a writing under way then proves nothing. */
  #doubts = 0;
  #doubtsAtBegin = 0;

  /** Notes changes; the next begin() hands them out, whatever happens before. */
  take(changes: readonly ServicePortChange[]): void {
    for (const change of changes) note(this.#changes, change);
  }

  /** Whether the kernel is known to hold what was confirmed last. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** What was taken since the last begin(), and what that left over. */
  get waiting(): Iterable<ServicePortChange> {
    return this.#changes.values();
  }

  get isEmpty(): boolean {
    return this.#changes.size === 0;
  }

  /** The next begin() says that the kernel must be looked at, also if a writing that is under way succeeds. */
  doubt(): void {
    this.#doubts++;
    this.#isKnown = false;
  }

  begin(): Begun {
    const begun = this.#begun ?? new Map<string, ServicePortChange>();
    for (const change of this.#changes.values()) note(begun, change);
    const isKnown = this.#isKnown;
    this.#changes = new Map();
    this.#begun = begun;
    this.#isKnown = false;
    this.#doubtsAtBegin = this.#doubts;
    return { changes: [...begun.values()], isKnown };
  }

  /** The kernel holds what begin() handed out, but for `left`. Returns false when that came into doubt meanwhile. */
  confirm(left: readonly ServicePortChange[] = []): boolean {
    const since = this.#changes;
    this.#changes = new Map(left.map((change) => [change.key, change]));
    for (const change of since.values()) note(this.#changes, change);
    this.#begun = undefined;
    this.#isKnown = this.#doubts === this.#doubtsAtBegin;
    return this.#isKnown;
  }
}

function note(changes: Map<string, ServicePortChange>, { key, before, after }: ServicePortChange): void {
  const known = changes.get(key);
  changes.set(key, known ? { key, before: known.before, after } : { key, before, after });
}

/**
 * Whether the Leases of the nodes can be judged by their age. While the watch does not work, none is seen to change, and for as long as
 * a Lease may live without a change after it is back: nodes that could not write either come back one by one.
 */
import type { SourceContact } from '../../kubernetes/ObjectSource.js';
import type { Clock } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import { GONE_MS } from './activityLease.js';

/** `settling`: what is seen is true, what is not seen may come yet. */
export type LeaseState = 'unread' | 'away' | 'settling' | 'current';

/** A watch that breaks and is back so soon has missed nothing that matters: a Lease lives longer than its renewal and this. */
const SHORT_MS: Milliseconds = 20_000;
/** Bookmarks come about once a minute. */
const LONGEST_SILENCE_MS: Milliseconds = 100_000;

export class LeaseKnowledge {
  readonly #clock: Clock;
  readonly #contact: () => Pick<SourceContact, 'connected' | 'silentForMs'>;
  #isRead = false;
  /** When the API server was heard last. */
  #heardAt: Milliseconds;
  /** When it was heard last before it went away. Undefined: it is there. */
  #lostAt: Milliseconds | undefined;
  #settledAt: Milliseconds = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, contact: () => Pick<SourceContact, 'connected' | 'silentForMs'>) {
    this.#clock = clock;
    this.#contact = contact;
    this.#heardAt = clock.now();
  }

  get isRead(): boolean {
    return this.#isRead;
  }

  /** All Leases were read once. */
  read(): void {
    this.#isRead = true;
  }

  /** There are Leases that may only seem to be gone: they get the time to be renewed. */
  settle(): void {
    this.#settledAt = this.#clock.now() + GONE_MS;
  }

  /** To be called every few seconds, and before anything is judged. */
  observe(): void {
    const now = this.#clock.now();
    const { connected, silentForMs } = this.#contact();
    if (silentForMs !== undefined) this.#heardAt = now - silentForMs;
    if (!connected || now - this.#heardAt > LONGEST_SILENCE_MS) {
      this.#lostAt ??= this.#heardAt;
      return;
    }
    if (this.#lostAt !== undefined && now - this.#lostAt > SHORT_MS) this.settle();
    this.#lostAt = undefined;
  }

  /** A Lease ages only as far as the API server was heard: what it does not say is no sign. */
  get heardAt(): Milliseconds {
    this.observe();
    return this.#heardAt;
  }

  get state(): LeaseState {
    this.observe();
    const now = this.#clock.now();
    if (!this.#isRead) return 'unread';
    if (this.#lostAt !== undefined && now - this.#lostAt > SHORT_MS) return 'away';
    return now < this.#settledAt ? 'settling' : 'current';
  }
}

/**
 * Writes statuses, a few at once. What one Service's write costs no other Service pays: one that fails is tried again by itself, one that
 * gets no answer for a second makes room, and namespaces take turns. Where the writes of several Services fail one after the other the
 * server has trouble: one a second is tried then, those first that have not failed.
 */
import { messageOf } from '../../errors.js';
import { objectPath } from '../../objects/ApiObject.js';
import type { Clock } from '../../time/Clock.js';
import type { StatusWrite } from '../addresses/AddressBook.js';
import { RefusedWrites } from './RefusedWrites.js';
import { WaitingWrites } from './WaitingWrites.js';

export type StatusOutcome =
  /** `asked`: the server was, and answered. */
  | { readonly type: 'done'; readonly asked: boolean }
  /** For this Service. */
  | { readonly type: 'refused'; readonly why: string }
  /** By a server, or by what stands before it, that may have trouble with all. `retryAfterMs`: 0 when it said nothing. */
  | { readonly type: 'failed'; readonly why: string; readonly retryAfterMs: number };

export interface StatusWriterOptions {
  /** Rejects when there is no answer. */
  readonly write: (write: StatusWrite) => Promise<StatusOutcome>;
  readonly mayWrite: () => boolean;
  readonly clock: Clock;
  /** 0 up to 1. */
  readonly random: () => number;
  /** Once for a Service whose status cannot be written. */
  readonly onRefused: (write: StatusWrite, why: string) => void;
  /** Once when the server has trouble, and once when it has none any more (undefined). */
  readonly onTrouble: (why: string | undefined) => void;
}

/** Without those that are slow. */
const AT_ONCE = 4;
/** Milliseconds without an answer. */
const SLOW_MS = 1000;
const MOST_OF_NAMESPACE = 4;
/** A namespace more is there than anybody has whose writes all hang. */
const MOST_IN_FLIGHT = 128;
/** So many Services whose writes failed, and none in between that was answered. */
const TROUBLE = 3;
/** Milliseconds from one try to the next while the server has trouble. */
const PACE_MS = 1000;
/** While there is trouble, so many Services that have not failed yet come before one that has. */
const FRESH_IN_TURN = 3;

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #fresh = new WaitingWrites();
  /** Those of Services whose last write failed. */
  readonly #again = new WaitingWrites();
  readonly #refused: RefusedWrites;
  readonly #inFlight = new Map<string, Promise<void>>();
  readonly #quick = new Set<string>();
  readonly #ofNamespace = new Map<string, number>();
  readonly #failing = new Set<string>();
  /** In flight, and not to be tried again. */
  readonly #dropped = new Set<string>();
  #cancelPace: (() => void) | undefined;
  #nextAt = 0;
  #turn = 0;
  #inTrouble = false;
  #stopped = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#refused = new RefusedWrites(options.clock, options.random);
  }

  /** The latest for a Service; begin() writes it. */
  set(write: StatusWrite): void {
    const key = objectPath(write.service);
    this.#dropped.delete(key);
    this.#refused.supersede(key);
    this.#wait(key, write);
  }

  /** Nothing is to be written for the Service (`namespace/name`): what waits for it would give it what may be another's by now. */
  drop(key: string): void {
    this.#fresh.delete(key);
    this.#again.delete(key);
    if (this.#inFlight.has(key)) this.#dropped.add(key);
    else this.#refused.forget(key);
  }

  /** Writes what waits and may be written. */
  begin(): void {
    while (this.#isWriter()) {
      const write = this.#next();
      if (write === undefined) return;
      const key = objectPath(write.service);
      this.#inFlight.set(key, this.#run(key, write));
    }
  }

  /** No call comes after this. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPace?.();
    await Promise.all(this.#inFlight.values());
    // After the last answer, which may have been a refusal.
    this.#refused.stop();
  }

  #isWriter(): boolean {
    return !this.#stopped && this.#options.mayWrite();
  }

  #wait(key: string, write: StatusWrite): void {
    const [queue, other] = this.#refused.has(key) ? [this.#again, this.#fresh] : [this.#fresh, this.#again];
    other.delete(key);
    queue.set(write);
  }

  #next(): StatusWrite | undefined {
    if (this.#quick.size >= (this.#inTrouble ? 1 : AT_ONCE) || this.#inFlight.size >= MOST_IN_FLIGHT)
      return undefined;
    const wait = this.#nextAt - this.#options.clock.now();
    if (this.#inTrouble && wait > 0) {
      this.#cancelPace?.();
      this.#cancelPace = this.#options.clock.after(wait, () => this.begin());
      return undefined;
    }
    const hasRoom = (namespace: string) => (this.#ofNamespace.get(namespace) ?? 0) < MOST_OF_NAMESPACE;
    const mayBegin = (key: string) => !this.#inFlight.has(key);
    const queues = [this.#fresh, this.#again];
    if (this.#turn++ % (FRESH_IN_TURN + 1) === FRESH_IN_TURN) queues.reverse();
    const write = queues[0]?.take(hasRoom, mayBegin) ?? queues[1]?.take(hasRoom, mayBegin);
    if (write !== undefined) this.#nextAt = this.#options.clock.now() + PACE_MS;
    return write;
  }

  async #run(key: string, write: StatusWrite): Promise<void> {
    const { namespace } = write.service;
    this.#ofNamespace.set(namespace, (this.#ofNamespace.get(namespace) ?? 0) + 1);
    this.#quick.add(key);
    const cancelSlow = this.#options.clock.after(SLOW_MS, () => {
      this.#quick.delete(key);
      this.begin();
    });
    const outcome = await this.#outcome(write);
    cancelSlow();
    this.#quick.delete(key);
    this.#inFlight.delete(key);
    const left = (this.#ofNamespace.get(namespace) ?? 1) - 1;
    if (left > 0) this.#ofNamespace.set(namespace, left);
    else this.#ofNamespace.delete(namespace);
    this.#take(key, write, outcome);
    this.begin();
  }

  async #outcome(write: StatusWrite): Promise<StatusOutcome> {
    try {
      return await this.#options.write(write);
    } catch (error) {
      return { type: 'failed', why: messageOf(error), retryAfterMs: 0 };
    }
  }

  #take(key: string, write: StatusWrite, outcome: StatusOutcome): void {
    if (outcome.type === 'failed') this.#failed(key, outcome.why);
    else if (outcome.type === 'refused' || outcome.asked) this.#answered();
    if (this.#dropped.delete(key) || outcome.type === 'done') {
      this.#refused.forget(key);
      return;
    }
    // Something newer is decided, and waits already.
    if (this.#fresh.has(write) || this.#again.has(write)) return;
    const again = () => {
      this.#wait(key, write);
      this.begin();
    };
    const isServers = outcome.type === 'failed';
    const tells = this.#refused.add(key, again, isServers ? outcome.retryAfterMs : 0, isServers);
    if (tells) this.#options.onRefused(write, outcome.why);
  }

  #failed(key: string, why: string): void {
    this.#failing.add(key);
    if (this.#inTrouble || this.#failing.size < TROUBLE) return;
    this.#inTrouble = true;
    this.#options.onTrouble(why);
  }

  #answered(): void {
    this.#failing.clear();
    if (!this.#inTrouble) return;
    this.#inTrouble = false;
    this.#options.onTrouble(undefined);
  }
}

/**
 * Keeps a store equal to one resource of the API server: read everything, then watch from there, for ever.
 *
 * Whenever it is not certain that nothing was missed (410, versions that go backwards, watches that never say anything)
 * everything is read again; the store turns that into the few real changes.
 */
import { append } from '../../append.js';
import { PenstockError } from '../../errors.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import { BackOff } from '../../time/BackOff.js';
import { type Clock, sleep } from '../../time/Clock.js';
import type { Contact } from '../contact/Contact.js';
import { ApiError } from '../http/ApiError.js';
import type { ApiTransport } from '../http/ApiTransport.js';
import type { Turns } from '../http/Turns.js';
import type { InitialEvents } from './InitialEvents.js';
import { listPages, MOST_ITEMS, tooManyItems } from './listPages.js';
import type { WatchedPath } from './resources.js';
import { isOlder, versionOf } from './resourceVersion.js';
import { type WatchEvent, watchStream } from './watchStream.js';

/** Milliseconds; a watch that lives shorter is not worth asking for again at once. */
const SHORT_WATCH_MS = 1000;
/** Watches in a row that failed, or were silent, after which everything is read again. */
const USELESS_WATCHES = 3;
/** Milliseconds in which the next of the initial events must come; servers that do not know them never end them. */
const INITIAL_SILENCE_MS = 10_000;
/** Milliseconds until a resource that the server does not have is asked for again. */
const ABSENT_RETRY_MS = 300_000;
/** Milliseconds for which a resource that was there must be missing: API servers answer 404 while they begin, or its definition is replaced. */
const GONE_AFTER_MS = 60_000;
/** Milliseconds until what was there and is gone is asked for again, each time twice as long: a definition that is replaced comes back. */
const GONE_RETRY_MS = 15_000;
const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

/** What was delivered of a resource. Whatever comes in, it never throws, and answers with the changes that it makes. */
export interface Store<Change> {
  upsert(raw: unknown): readonly Change[];
  remove(raw: unknown): readonly Change[];
  /** Reads everything anew: what is not added until take() is gone. */
  snapshot(): { add(raw: unknown): void; remove(raw: unknown): void; take(): readonly Change[] };
}

export interface ReflectorEvents<Change> {
  changes(batch: readonly Change[]): void;
  /** The first complete reading has been delivered. */
  complete(): void;
  problemsChanged(): void;
}

export interface ReflectorOptions<Change> {
  readonly resource: WatchedPath;
  readonly store: Store<Change>;
  readonly transport: ApiTransport;
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  readonly turns: Turns;
  readonly initialEvents: InitialEvents;
  readonly contact: Contact;
  readonly events: ReflectorEvents<Change>;
}

export class Reflector<Change> {
  readonly store: Store<Change>;
  readonly #options: ReflectorOptions<Change>;
  readonly #backOff: BackOff;
  readonly #stopping = new AbortController();
  /** Everything up to this version is in the store; undefined: it has to be read anew. */
  #version: string | undefined;
  #complete = false;
  #wasRead = false;
  /** On the clock; undefined: it was there when it was asked for last. */
  #missingSince: number | undefined;
  /** Milliseconds until what the server does not have is asked for again, unless that is longer than for what never was there. */
  #absentRetry = Number.POSITIVE_INFINITY;
  #cut: 'pages' | 'whole' = 'pages';
  #uselessWatches = 0;
  #running: Promise<void> | undefined;

  constructor(options: ReflectorOptions<Change>) {
    this.#options = options;
    this.store = options.store;
    this.#backOff = new BackOff(options.random);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const delay = await this.#step();
      if (delay > 0) await sleep(this.#options.clock, delay, signal);
    }
  }

  /** Answers how long to wait before the next step, in milliseconds. */
  async #step(): Promise<number> {
    try {
      if (this.#version !== undefined) return await this.#follow(this.#version);
      await this.#options.turns.take(() => this.#readAll());
      return 0;
    } catch (error) {
      return this.#stopping.signal.aborted ? 0 : this.#afterFailure(error);
    }
  }

  #afterFailure(error: unknown): number {
    const { resource, contact } = this.#options;
    const status = error instanceof ApiError ? error.status : 0;
    if (status !== 404) this.#missingSince = undefined;
    if (error instanceof LostTrack || (status === 410 && this.#mayReadAgain())) {
      this.#version = undefined;
      this.#uselessWatches = 0;
      return this.#backOff.next();
    }
    if (resource.optional && this.#isAbsent(status)) {
      this.#version = undefined;
      this.#absentRetry = this.#wasRead ? GONE_RETRY_MS : this.#absentRetry * 2;
      this.#wasRead = false;
      this.#deliver(this.store.snapshot().take());
      this.#completed();
      contact.read();
      const wait = Math.min(this.#absentRetry, resource.absentRetryMs ?? ABSENT_RETRY_MS);
      return wait * (1 + this.#options.random() / 4);
    }
    if (this.#version !== undefined && ++this.#uselessWatches >= USELESS_WATCHES) {
      this.#version = undefined;
      this.#uselessWatches = 0;
    }
    contact.failed(error);
    return this.#backOff.next(error instanceof ApiError ? error.retryAfterMs : 0);
  }

  /** What was read once is not gone because it may not be read any more, nor because it is missing for a moment. */
  #isAbsent(status: number): boolean {
    if (status !== 404 && status !== 403) return false;
    if (!this.#wasRead) return true;
    if (status === 403) return false;
    const now = this.#options.clock.now();
    this.#missingSince ??= now;
    return now - this.#missingSince >= GONE_AFTER_MS;
  }

  /** After a 410: the version is too old, or the pages expire faster than they are read. One page cannot. */
  #mayReadAgain(): boolean {
    if (this.#version !== undefined) return true;
    if (this.#cut === 'whole') return false;
    this.#cut = 'whole';
    return true;
  }

  async #readAll(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const { resource, transport, clock, initialEvents, contact } = this.#options;
    if (initialEvents.expected && (await this.#readByWatch())) return;
    const snapshot = this.store.snapshot();
    const onItem = (raw: unknown) => snapshot.add(raw);
    const { signal } = this.#stopping;
    const onHeard = () => contact.heard();
    const version = await listPages({ resource, transport, clock, signal, cut: this.#cut, onItem, onHeard });
    this.#cut = 'pages';
    this.#taken(snapshot.take(), version);
  }

  /** Answers false when the server does not send initial events. */
  async #readByWatch(): Promise<boolean> {
    const { initialEvents } = this.#options;
    const snapshot = this.store.snapshot();
    let opened = false;
    let items = 0;
    try {
      for await (const batch of this.#watch(undefined, () => {
        opened = true;
      })) {
        for (const { type, object } of batch) {
          if (type !== 'BOOKMARK') {
            if (++items > MOST_ITEMS) throw tooManyItems(this.#options.resource, MOST_ITEMS);
            // Objects that change meanwhile come more than once.
            if (type === 'DELETED') snapshot.remove(object);
            else snapshot.add(object);
            continue;
          }
          const version = versionOf(object);
          if (endsInitialEvents(object) && version !== undefined) {
            this.#taken(snapshot.take(), version);
            return true;
          }
          // Whoever knows initial events ends them with the first bookmark.
          initialEvents.missing();
          return false;
        }
      }
    } catch (error) {
      const refused = error instanceof ApiError && (error.status === 400 || error.status === 422);
      const silent = error instanceof PenstockError && error.code === 'PENSTOCK_API_SILENT';
      if (!refused && !silent) throw error;
      if (refused || opened) initialEvents.missing();
    }
    return false;
  }

  /** Follows one watch to its end. */
  async #follow(version: string): Promise<number> {
    const { clock, contact } = this.#options;
    const started = clock.now();
    let heard = false;
    try {
      for await (const batch of this.#watch(version)) {
        heard = true;
        this.#uselessWatches = 0;
        this.#missingSince = undefined;
        this.#backOff.reset();
        this.#apply(batch);
      }
    } catch (error) {
      contact.watchFailed();
      throw error;
    }
    contact.watchEnded();
    this.#missingSince = undefined;
    if (!heard && ++this.#uselessWatches >= USELESS_WATCHES) throw new LostTrack();
    if (clock.now() - started < SHORT_WATCH_MS) return this.#backOff.next();
    this.#backOff.reset();
    return 0;
  }

  #apply(batch: readonly WatchEvent[]): void {
    const changes: Change[] = [];
    try {
      for (const { type, object } of batch) {
        const version = versionOf(object);
        // A server that was restored from a backup, or events out of order: neither tells what has happened.
        if (version === undefined || isOlder(version, this.#version ?? '')) throw new LostTrack();
        if (type === 'DELETED') append(changes, this.store.remove(object));
        else if (type !== 'BOOKMARK') append(changes, this.store.upsert(object));
        this.#version = version;
      }
    } finally {
      this.#deliver(changes);
    }
  }

  /** `onInitial`: to begin with everything there is; it hears that the server has begun to answer. */
  #watch(after: string | undefined, onInitial?: () => void): AsyncGenerator<readonly WatchEvent[]> {
    const { resource, transport, clock, random, contact } = this.#options;
    const { signal } = this.#stopping;
    const onOpen = () => {
      contact.answered();
      onInitial?.();
    };
    const onHeard = () => contact.heard();
    const rest =
      onInitial === undefined ? { onOpen, onHeard } : { onOpen, onHeard, silence: INITIAL_SILENCE_MS };
    return watchStream({ resource, transport, clock, random, signal, after, ...rest });
  }

  #taken(changes: readonly Change[], version: string): void {
    this.#version = version;
    this.#wasRead = true;
    this.#missingSince = undefined;
    this.#deliver(changes);
    this.#completed();
    this.#options.contact.read();
  }

  #deliver(changes: readonly Change[]): void {
    if (this.#stopping.signal.aborted) return;
    if (changes.length > 0) this.#options.events.changes(changes);
    this.#options.events.problemsChanged();
  }

  #completed(): void {
    if (this.#complete || this.#stopping.signal.aborted) return;
    this.#complete = true;
    this.#options.events.complete();
  }
}

/** It is not certain that every event was seen. */
class LostTrack extends Error {}

function endsInitialEvents(bookmark: unknown): boolean {
  const metadata = isRawObject(bookmark) && isRawObject(bookmark.metadata) ? bookmark.metadata : {};
  return isRawObject(metadata.annotations) && metadata.annotations[INITIAL_EVENTS_END] === 'true';
}

/**
 * Keeps a store equal to one resource of the API server: read everything, then watch from there, for ever.
 *
 * Whenever it is not certain that nothing was missed (410, versions that go backwards, watches that never say anything)
 * everything is read again; the store turns that into the few real changes.
 */
import { PenstockError } from '../../errors.js';
import type { ObjectChange } from '../../objects/ApiObject.js';
import { isRawObject } from '../../objects/FieldReader.js';
import { ApiError } from './ApiError.js';
import type { ApiTransport } from './ApiTransport.js';
import { BackOff } from './BackOff.js';
import { type Clock, sleep } from './Clock.js';
import { listPages } from './listPages.js';
import { ResourceStore } from './ResourceStore.js';
import type { Resource } from './resources.js';
import { isOlder, versionOf } from './resourceVersion.js';
import type { Turns } from './Turns.js';
import { type WatchEvent, watchStream } from './watchStream.js';

/** Milliseconds; a watch that lives shorter, and says nothing, is not worth asking for again at once. */
const SHORT_WATCH_MS = 1000;
/** Watches in a row that failed, or were silent, after which everything is read again. */
const USELESS_WATCHES = 3;
/** Milliseconds in which the next of the initial events must come; servers that do not know them never end them. */
const INITIAL_SILENCE_MS = 10_000;
/** Milliseconds until a resource that the server does not have is asked for again. */
const ABSENT_RETRY_MS = 300_000;
const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

export interface ReflectorEvents {
  changes(batch: readonly ObjectChange[]): void;
  /** The first complete reading has been delivered. */
  complete(): void;
  problemsChanged(): void;
  /** The server answered as it should. */
  answered(): void;
  failed(error: unknown): void;
}

export interface ReflectorOptions {
  readonly resource: Resource;
  readonly transport: ApiTransport;
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  readonly turns: Turns;
  readonly events: ReflectorEvents;
}

export class Reflector {
  readonly store: ResourceStore;
  readonly #options: ReflectorOptions;
  readonly #backOff: BackOff;
  readonly #stopping = new AbortController();
  /** Everything up to this version is in the store; undefined: it has to be read anew. */
  #version: string | undefined;
  #complete = false;
  #initialEvents: 'try' | 'no' = 'try';
  #cut: 'pages' | 'whole' = 'pages';
  #uselessWatches = 0;
  #running: Promise<void> | undefined;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.store = new ResourceStore(options.resource);
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
    const { resource, events } = this.#options;
    const status = error instanceof ApiError ? error.status : 0;
    if (error instanceof LostTrack || status === 410) {
      const hadVersion = this.#version !== undefined;
      this.#version = undefined;
      this.#uselessWatches = 0;
      if (!hadVersion) this.#cut = 'whole';
      return this.#backOff.next();
    }
    if (resource.optional && (status === 404 || status === 403)) {
      this.#version = undefined;
      this.#deliver(this.store.snapshot().take());
      this.#completed();
      events.answered();
      return ABSENT_RETRY_MS * (1 + this.#options.random() / 4);
    }
    if (this.#version !== undefined && ++this.#uselessWatches >= USELESS_WATCHES) {
      this.#version = undefined;
      this.#uselessWatches = 0;
    }
    events.failed(error);
    return this.#backOff.next(error instanceof ApiError ? error.retryAfterMs : 0);
  }

  async #readAll(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    if (this.#initialEvents === 'try' && (await this.#readByWatch())) return;
    const { resource, transport, clock } = this.#options;
    const snapshot = this.store.snapshot();
    const onItem = (raw: unknown) => snapshot.add(raw);
    const { signal } = this.#stopping;
    const version = await listPages({ resource, transport, clock, signal, cut: this.#cut, onItem });
    this.#cut = 'pages';
    this.#taken(snapshot.take(), version);
  }

  /** Answers false when the server does not send initial events. */
  async #readByWatch(): Promise<boolean> {
    const snapshot = this.store.snapshot();
    try {
      for await (const batch of this.#watch(undefined, INITIAL_SILENCE_MS)) {
        for (const { type, object } of batch) {
          if (type !== 'BOOKMARK') {
            // Objects that change meanwhile come more than once.
            if (type === 'DELETED') snapshot.remove(object);
            else snapshot.add(object);
            continue;
          }
          const version = versionOf(object);
          if (!endsInitialEvents(object) || version === undefined) continue;
          this.#taken(snapshot.take(), version);
          return true;
        }
      }
    } catch (error) {
      const refused = error instanceof ApiError && (error.status === 400 || error.status === 422);
      const silent = error instanceof PenstockError && error.code === 'PENSTOCK_API_SILENT';
      if (!refused && !silent) throw error;
      this.#initialEvents = 'no';
    }
    return false;
  }

  /** Follows one watch to its end. */
  async #follow(version: string): Promise<number> {
    const { clock } = this.#options;
    const started = clock.now();
    let heard = false;
    for await (const batch of this.#watch(version)) {
      heard = true;
      this.#uselessWatches = 0;
      this.#backOff.reset();
      this.#apply(batch);
    }
    if (heard) return 0;
    if (++this.#uselessWatches >= USELESS_WATCHES) throw new LostTrack();
    if (clock.now() - started < SHORT_WATCH_MS) return this.#backOff.next();
    this.#backOff.reset();
    return 0;
  }

  #apply(batch: readonly WatchEvent[]): void {
    const changes: ObjectChange[] = [];
    try {
      for (const { type, object } of batch) {
        const version = versionOf(object);
        // A server that was restored from a backup, or events out of order: neither tells what has happened.
        if (version === undefined || isOlder(version, this.#version ?? '')) throw new LostTrack();
        if (type === 'DELETED') changes.push(...this.store.remove(object));
        else if (type !== 'BOOKMARK') changes.push(...this.store.upsert(object));
        this.#version = version;
      }
    } finally {
      this.#deliver(changes);
    }
  }

  #watch(after: string | undefined, silence?: number): AsyncGenerator<readonly WatchEvent[]> {
    const { resource, transport, clock, random, events } = this.#options;
    const { signal } = this.#stopping;
    const onOpen = () => events.answered();
    const rest = silence === undefined ? { onOpen } : { onOpen, silence };
    return watchStream({ resource, transport, clock, random, signal, after, ...rest });
  }

  #taken(changes: readonly ObjectChange[], version: string): void {
    this.#version = version;
    this.#deliver(changes);
    this.#completed();
    this.#options.events.answered();
  }

  #deliver(changes: readonly ObjectChange[]): void {
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

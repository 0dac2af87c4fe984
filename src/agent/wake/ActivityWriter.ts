/** Keeps the Lease in which this node tells the others which Services have connections here. */
import { messageOf } from '../../errors.js';
import type { ApiServer } from '../../kubernetes/openApiServer.js';
import { type Clock, sleep } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import {
  type Activities,
  activityLeaseName,
  activityLeasePath,
  EVERYTHING,
  MOST_SERVICES,
  RENEW_MS,
  writeActivityLease,
} from './activityLease.js';

export interface ActivityWriterOptions {
  readonly api: Pick<ApiServer, 'send'>;
  readonly namespace: string;
  readonly node: string;
  /** Of the Node object, as far as it is known. */
  readonly nodeUid?: () => string | undefined;
  readonly clock: Clock;
  /** Once when it fails, and once when it works again (undefined). */
  readonly onTrouble: (why: string | undefined) => void;
}

/** Whoever waits is told of every ten seconds: a little longer it counts without a word. */
const WAITS_MS: Milliseconds = 15_000;
/** Between two writings. */
const PAUSE_MS: Milliseconds = 200;
/** Between two writings of which the second has other figures, and no other Services. */
const FIGURES_MS: Milliseconds = 10_000;
/** After a writing that failed. */
const RETRY_MS: Milliseconds = 10_000;
const FORBIDDEN = 403;
const NOT_FOUND = 404;
const CONFLICT = 409;

interface Written {
  readonly at: Milliseconds;
  readonly services: string;
  readonly all: string;
}

export class ActivityWriter {
  readonly #options: ActivityWriterOptions;
  /** Undefined: no look has been yet. */
  #connections: ReadonlyMap<string, number> | undefined;
  readonly #waits = new Map<string, Milliseconds>();
  #last: Written = { at: Number.NEGATIVE_INFINITY, services: '', all: '' };
  #isWriting = false;
  #writing: Promise<void> | undefined;
  #trouble: string | undefined;
  /** The API server lets nobody name an owner who may not delete (admission plugin OwnerReferencesPermissionEnforcement). */
  #mayNameOwner = true;
  readonly #stopping = new AbortController();
  #cancelNext: () => void = () => {};

  constructor(options: ActivityWriterOptions) {
    this.#options = options;
  }

  /** What a look at the connections has found: those Services that had any, by `namespace/name`. Undefined: the look has failed. */
  looked(connections: ReadonlyMap<string, number> | undefined): void {
    // What was told last is told on.
    if (connections) this.#connections = connections;
    this.#write();
  }

  /** Somebody waits for an endpoint: this is told at once. */
  waits(path: string): void {
    this.#waits.set(path, this.#options.clock.now());
    this.#write();
  }

  /** The Lease runs out by itself. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelNext();
    await this.#writing;
  }

  #write(): void {
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#cancelNext();
    this.#writing = this.#writeAll();
  }

  /** Goes on until all is told that is to be told now, and sees to the next time. */
  async #writeAll(): Promise<void> {
    const { clock, onTrouble } = this.#options;
    let next: Milliseconds = 0;
    const { signal } = this.#stopping;
    while (!signal.aborted && next === 0) {
      const activities = this.#activities();
      next = this.#waitFor(activities);
      if (next > 0) break;
      const why = await this.#send(activities);
      if (why === undefined)
        this.#last = { at: clock.now(), services: servicesOf(activities), all: allOf(activities) };
      if (why !== this.#trouble) onTrouble(why);
      this.#trouble = why;
      if (why !== undefined) next = RETRY_MS;
      else await sleep(clock, PAUSE_MS, signal);
    }
    // In one turn with the last look: whoever has something to tell after it is heard.
    this.#isWriting = false;
    if (!signal.aborted) this.#cancelNext = clock.after(next, () => this.#write());
  }

  /** Which Services there are is told at once, how many connections they have in its time. 0: now. */
  #waitFor(activities: Activities): Milliseconds {
    const now = this.#options.clock.now();
    const { at, services, all } = this.#last;
    if (services !== servicesOf(activities)) return 0;
    let due = at + (all === allOf(activities) ? RENEW_MS : FIGURES_MS);
    if (due <= now) return 0;
    for (const since of this.#waits.values()) due = Math.min(due, since + WAITS_MS + 1);
    return due - now;
  }

  #activities(): Activities {
    const now = this.#options.clock.now();
    const connections = this.#connections ?? new Map<string, number>();
    for (const [path, at] of this.#waits) if (now - at > WAITS_MS) this.#waits.delete(path);
    const paths = [...new Set([...connections.keys(), ...this.#waits.keys()])].sort();
    if (paths.length > MOST_SERVICES) return EVERYTHING;
    const services = new Map(
      paths.map((path) => [path, { connections: connections.get(path) ?? 0, waits: this.#waits.has(path) }]),
    );
    return { services, others: this.#connections ? 'nothing' : 'unknown' };
  }

  /** Resolves to why it was not taken. Never rejects. */
  async #send(activities: Activities): Promise<string | undefined> {
    const uid = this.#mayNameOwner ? this.#options.nodeUid?.() : undefined;
    try {
      const status = await this.#put(activities, uid);
      if (status !== FORBIDDEN || uid === undefined) return refusal(status);
      const again = await this.#put(activities, undefined);
      this.#mayNameOwner = again === FORBIDDEN;
      return refusal(again);
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Resolves to the status. */
  async #put(activities: Activities, nodeUid: string | undefined): Promise<number> {
    const { api, namespace, node, clock } = this.#options;
    const path = activityLeasePath(namespace);
    const lease = writeActivityLease({ node, nodeUid, namespace, activities, date: clock.date() });
    const name = encodeURIComponent(activityLeaseName(node));
    const patched = await api.send('PATCH', `${path}/${name}`, lease);
    if (patched !== NOT_FOUND) return patched;
    const made = await api.send('POST', path, lease);
    // Somebody has made it meanwhile.
    return made === CONFLICT ? await api.send('PATCH', `${path}/${name}`, lease) : made;
  }
}

/** Which Services it names, and who waits. */
function servicesOf({ services, others }: Activities): string {
  return JSON.stringify([others, ...[...services].map(([path, { waits }]) => [path, waits])]);
}

function allOf({ services, others }: Activities): string {
  return JSON.stringify([others, ...services]);
}

function refusal(status: number): string | undefined {
  if (status >= 200 && status < 300) return undefined;
  const answer = `the API server answers ${status}`;
  return status === FORBIDDEN
    ? `${answer}: give the account create, patch, list and watch on leases (Role penstock-wake-share of deploy/scaler)`
    : answer;
}

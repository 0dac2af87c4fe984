/** Keeps the Lease in which this node tells the others which Services have connections here. */
import { messageOf } from '../../errors.js';
import type { ApiServer } from '../../kubernetes/openApiServer.js';
import { type Clock, sleep } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import {
  type Activity,
  activityLeaseName,
  activityLeasePath,
  RENEW_MS,
  writeActivityLease,
} from './activityLease.js';

export interface ActivityWriterOptions {
  readonly api: Pick<ApiServer, 'send'>;
  readonly namespace: string;
  readonly node: string;
  readonly clock: Clock;
  /** Once when it fails, and once when it works again (undefined). */
  readonly onTrouble: (why: string | undefined) => void;
}

/** Whoever waits is told of every ten seconds: a little longer it counts without a word. */
const WAITS_MS: Milliseconds = 15_000;
/** Between two writings. */
const PAUSE_MS: Milliseconds = 200;
const NOT_FOUND = 404;
const CONFLICT = 409;

export class ActivityWriter {
  readonly #options: ActivityWriterOptions;
  #connections: ReadonlyMap<string, number> = new Map();
  readonly #waits = new Map<string, Milliseconds>();
  #last = '';
  #writtenAt = Number.NEGATIVE_INFINITY;
  /** Some Service may sleep: only then there is something to tell. */
  #isWanted = false;
  #writing: Promise<void> | undefined;
  #trouble: string | undefined;
  #stopped = false;

  constructor(options: ActivityWriterOptions) {
    this.#options = options;
  }

  /** What a look at the connections has found: those Services that had any, by `namespace/name`. */
  looked(connections: ReadonlyMap<string, number>): void {
    this.#connections = connections;
    this.#isWanted = true;
    this.#write();
  }

  /** Somebody waits for an endpoint: this is told at once. */
  waits(path: string): void {
    this.#waits.set(path, this.#options.clock.now());
    this.#isWanted = true;
    this.#write();
  }

  /** The Lease runs out by itself. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#writing;
  }

  #write(): void {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Goes on until all is told. */
  async #writeAll(): Promise<void> {
    const { clock, onTrouble } = this.#options;
    while (!this.#stopped && this.#isDue()) {
      const activities = this.#activities();
      const why = await this.#send(activities);
      if (why === undefined) {
        this.#last = JSON.stringify([...activities]);
        this.#writtenAt = clock.now();
      }
      if (why !== this.#trouble) onTrouble(why);
      this.#trouble = why;
      // The next look tries again.
      if (why !== undefined) return;
      await sleep(clock, PAUSE_MS);
    }
  }

  #isDue(): boolean {
    if (!this.#isWanted) return false;
    const isOld = this.#options.clock.now() - this.#writtenAt >= RENEW_MS;
    return isOld || JSON.stringify([...this.#activities()]) !== this.#last;
  }

  #activities(): ReadonlyMap<string, Activity> {
    const now = this.#options.clock.now();
    for (const [path, at] of this.#waits) if (now - at > WAITS_MS) this.#waits.delete(path);
    const paths = [...new Set([...this.#connections.keys(), ...this.#waits.keys()])].sort();
    return new Map(
      paths.map((path) => [
        path,
        { connections: this.#connections.get(path) ?? 0, waits: this.#waits.has(path) },
      ]),
    );
  }

  /** Resolves to why it was not taken. Never rejects. */
  async #send(activities: ReadonlyMap<string, Activity>): Promise<string | undefined> {
    const { api, namespace, node, clock } = this.#options;
    const path = activityLeasePath(namespace);
    const lease = writeActivityLease({ node, namespace, activities, date: clock.date() });
    try {
      const name = encodeURIComponent(activityLeaseName(node));
      const patched = await api.send('PATCH', `${path}/${name}`, lease);
      if (isGood(patched)) return undefined;
      if (patched !== NOT_FOUND) return refusal(patched);
      const made = await api.send('POST', path, lease);
      return isGood(made) || made === CONFLICT ? undefined : refusal(made);
    } catch (error) {
      return messageOf(error);
    }
  }
}

function isGood(status: number): boolean {
  return status >= 200 && status < 300;
}

function refusal(status: number): string {
  const answer = `the API server answers ${status}`;
  return status === 403
    ? `${answer}: give the account create, patch, list and watch on leases (deploy/wake)`
    : answer;
}

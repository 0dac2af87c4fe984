/**
 * Events for `kubectl describe`: what an operator should see at the object it is about. The same again within six
 * minutes is one Event with a count; a flood is cut; and failing to send one never disturbs the agent.
 */

import { messageOf } from '../../errors.js';
import { type Clock, sleep, systemClock } from '../../time/Clock.js';
import { cutNote, type KubernetesEvent, microTime, type Occurrence } from './KubernetesEvent.js';

/** One HTTP request to the API server; resolves to the status. Rejects when it cannot be asked. */
export type EventRequest = (method: 'POST' | 'PATCH', path: string, body: unknown) => Promise<number>;

export interface EventRecorderOptions {
  /** The name that the operating system has for this machine, for reportingInstance. */
  readonly hostname: string;
  /** Undefined: there is no API server, and Events are nothing but their log lines. */
  readonly request: EventRequest | undefined;
  /** Hears once in a while that Events cannot be sent. */
  readonly onFailure: (why: string) => void;
  readonly clock?: Clock;
  /** 0 up to 1. */
  readonly random?: () => number;
}

interface Sent {
  readonly event: KubernetesEvent;
  count: number;
  lastSeen: number;
  /** When the count was sent, or the Event itself. */
  lastSent: number;
}

const CONTROLLER = 'penstock';
/** As in client-go's event broadcaster: the same within this time is one series. */
const SERIES_MS = 6 * 60_000;
/** Counts of a series are not sent more often. */
const SERIES_UPDATE_MS = 60_000;
/** As in client-go's spam filter: so many at once, then one in five minutes, for each object. */
const BURST = 25;
const REFILL_MS = 5 * 60_000;
/** Between two complaints that Events cannot be sent. */
const COMPLAIN_MS = 10 * 60_000;
const REMEMBERED = 1000;
/** For what is left to send when the agent ends. */
const LAST_WORDS_MS = 3000;

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #sent = new Map<string, Sent>();
  readonly #tokens = new Map<string, { tokens: number; at: number }>();
  #complainedAt = Number.NEGATIVE_INFINITY;
  #sequence = 0;
  #stopped = false;
  /** Requests one after the other: a PATCH must not overtake its POST. */
  #queue: Promise<void> = Promise.resolve();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  record(occurrence: Occurrence): void {
    const { request } = this.#options;
    if (request === undefined || this.#stopped) return;
    const now = this.#clock.date();
    const key = JSON.stringify([occurrence.regarding, occurrence.reason, occurrence.type, occurrence.note]);
    const known = this.#sent.get(key);
    if (known && now - known.lastSeen < SERIES_MS) {
      known.count++;
      known.lastSeen = now;
      if (now - known.lastSent >= SERIES_UPDATE_MS) this.#update(known, request);
      return;
    }
    if (!this.#mayBegin(occurrence, now)) return;
    const event = this.#eventOf(occurrence, now);
    this.#remember(key, { event, count: 1, lastSeen: now, lastSent: now });
    this.#send(() =>
      request('POST', `/apis/events.k8s.io/v1/namespaces/${event.metadata.namespace}/events`, event),
    );
  }

  /** Sends what is left, as far as it goes in a few seconds: an API server that is away holds up nobody's end. */
  async stop(): Promise<void> {
    const late = new AbortController();
    await Promise.race([this.flush(), sleep(this.#clock, LAST_WORDS_MS, late.signal)]);
    late.abort();
    this.#stopped = true;
  }

  /** Resolves when everything that was recorded is sent, or has failed. */
  async flush(): Promise<void> {
    const { request } = this.#options;
    if (request)
      for (const sent of this.#sent.values()) if (sent.lastSeen > sent.lastSent) this.#update(sent, request);
    await this.#queue;
  }

  #update(sent: Sent, request: EventRequest): void {
    sent.lastSent = sent.lastSeen;
    const { name, namespace } = sent.event.metadata;
    const series = { count: sent.count, lastObservedTime: microTime(sent.lastSeen) };
    this.#send(() =>
      request('PATCH', `/apis/events.k8s.io/v1/namespaces/${namespace}/events/${name}`, { series }),
    );
  }

  #send(send: () => Promise<number>): void {
    this.#queue = this.#queue.then(async () => {
      if (this.#stopped) return;
      try {
        const status = await send();
        if (status >= 400) this.#complain(refusal(status));
      } catch (error) {
        this.#complain(messageOf(error));
      }
    });
  }

  #complain(why: string): void {
    const now = this.#clock.date();
    if (this.#stopped || now - this.#complainedAt < COMPLAIN_MS) return;
    this.#complainedAt = now;
    this.#options.onFailure(why);
  }

  #mayBegin({ regarding }: Occurrence, now: number): boolean {
    const key = `${regarding.kind} ${regarding.namespace}/${regarding.name}`;
    const bucket = this.#tokens.get(key) ?? { tokens: BURST, at: now };
    this.#tokens.delete(key);
    this.#tokens.set(key, bucket);
    forgetOldest(this.#tokens);
    const earned = Math.floor((now - bucket.at) / REFILL_MS);
    bucket.tokens = Math.min(BURST, bucket.tokens + earned);
    bucket.at += earned * REFILL_MS;
    if (bucket.tokens === 0) return false;
    bucket.tokens--;
    return true;
  }

  #eventOf({ type, reason, action, note, regarding }: Occurrence, now: number): KubernetesEvent {
    const { namespace, ...rest } = regarding;
    const suffix = `${now.toString(16)}${Math.floor((this.#options.random ?? Math.random)() * 0x10000).toString(16)}${(this.#sequence++).toString(16)}`;
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: `${regarding.name}.${suffix}`, namespace: namespace || 'default' },
      eventTime: microTime(now),
      reportingController: CONTROLLER,
      reportingInstance: `${CONTROLLER}-${this.#options.hostname}`,
      action,
      reason,
      type,
      note: cutNote(note),
      regarding: namespace === '' ? rest : { ...rest, namespace },
    };
  }

  #remember(key: string, sent: Sent): void {
    this.#sent.delete(key);
    this.#sent.set(key, sent);
    forgetOldest(this.#sent);
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  if (map.size <= REMEMBERED) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}

function refusal(status: number): string {
  const answer = `the API server answered ${status}`;
  return status === 403 ? `${answer}; give the account create and patch on events of events.k8s.io` : answer;
}

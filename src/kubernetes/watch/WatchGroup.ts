/** Several resources of one API server, followed together: they take turns at reading everything, and one outage is told once. */
import type { Clock } from '../../time/Clock.js';
import { Contact } from '../contact/Contact.js';
import type { Outage } from '../contact/Outage.js';
import type { ApiTransport } from '../http/ApiTransport.js';
import { Turns } from '../http/Turns.js';
import { InitialEvents } from './InitialEvents.js';
import { Reflector, type ReflectorEvents, type Store } from './Reflector.js';
import type { WatchedPath } from './resources.js';

export interface WatchedResource<Change> {
  readonly resource: WatchedPath;
  readonly store: Store<Change>;
  readonly events: Pick<ReflectorEvents<Change>, 'changes'> & Partial<ReflectorEvents<Change>>;
}

export interface WatchGroupOptions {
  readonly transport: ApiTransport;
  readonly outage: Outage;
  readonly clock: Clock;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  /** Every resource has been read once. */
  readonly onComplete?: () => void;
}

const NOTHING = () => {};

export class WatchGroup<Change> {
  /** In the order of the resources. */
  readonly contacts: readonly Contact[];
  readonly #reflectors: readonly Reflector<Change>[];

  constructor(watched: readonly WatchedResource<Change>[], options: WatchGroupOptions) {
    const { transport, outage, clock, random, onComplete = NOTHING } = options;
    const turns = new Turns();
    const initialEvents = new InitialEvents();
    let incomplete = watched.length;
    this.contacts = watched.map(({ resource }) => new Contact(resource, clock, outage));
    this.#reflectors = watched.map(({ resource, store, events }, i) => {
      const { changes, complete = NOTHING, problemsChanged = NOTHING } = events;
      return new Reflector<Change>({
        resource,
        store,
        transport,
        clock,
        random,
        turns,
        initialEvents,
        contact: this.contacts[i] as Contact,
        events: {
          changes,
          problemsChanged,
          complete: () => {
            complete();
            if (--incomplete === 0) onComplete();
          },
        },
      });
    });
  }

  start(): void {
    for (const reflector of this.#reflectors) reflector.start();
  }

  /** No event comes after this. */
  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }
}

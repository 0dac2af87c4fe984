/** The API server as a source of objects: one reflector for each resource. */
import type { ObjectChange } from '../objects/ApiObject.js';
import { boundedProblems, type Problem } from '../objects/Problem.js';
import { type Clock, systemClock } from '../time/Clock.js';
import { Contact } from './contact/Contact.js';
import { Outage, type SourceLog } from './contact/Outage.js';
import type { ApiTransport } from './http/ApiTransport.js';
import { Turns } from './http/Turns.js';
import type { ObjectSource, SourceContact, SourceListener } from './ObjectSource.js';
import { InitialEvents } from './watch/InitialEvents.js';
import { Reflector } from './watch/Reflector.js';
import { ResourceStore } from './watch/ResourceStore.js';
import { watchedResources } from './watch/resources.js';

export interface KubernetesSourceOptions {
  readonly transport: ApiTransport;
  readonly nodeName: string;
  /** Label value of the Services to serve; '' for those without the label. */
  readonly serviceProxyName: string;
  readonly log: SourceLog;
  readonly clock?: Clock;
  /** 0 to 1, as Math.random. */
  readonly random?: () => number;
}

export class KubernetesSource implements ObjectSource {
  readonly name: string;
  readonly #transport: ApiTransport;
  readonly #outage: Outage;
  readonly #contacts: readonly Contact[];
  readonly #reflectors: readonly Reflector<ObjectChange>[];
  readonly #stores: readonly ResourceStore[];
  #listener: SourceListener | undefined;
  #incomplete: number;
  /** The sum of the stores' versions when problems were reported last. */
  #reported = 0;

  constructor(options: KubernetesSourceOptions) {
    const { transport, nodeName, serviceProxyName, log, clock = systemClock, random = Math.random } = options;
    this.name = `API server ${transport.server}`;
    this.#transport = transport;
    this.#outage = new Outage(clock, transport.server, log, () => this.#consequence());
    const turns = new Turns();
    const initialEvents = new InitialEvents();
    const resources = watchedResources(nodeName, serviceProxyName);
    this.#incomplete = resources.length;
    this.#contacts = resources.map((resource) => new Contact(resource, clock, this.#outage));
    const events = {
      changes: (batch: Parameters<SourceListener['changes']>[0]) => this.#listener?.changes(batch),
      complete: () => this.#completed(),
      problemsChanged: () => this.#reportProblems(),
    };
    this.#stores = resources.map((resource) => new ResourceStore(resource));
    this.#reflectors = resources.map((resource, i) => {
      const store = this.#stores[i] as ResourceStore;
      const contact = this.#contacts[i] as Contact;
      return new Reflector({
        resource,
        store,
        transport,
        clock,
        random,
        turns,
        initialEvents,
        contact,
        events,
      });
    });
  }

  /** Resolves at once: an API server that is away may come back at any time. */
  async start(listener: SourceListener): Promise<void> {
    this.#listener = listener;
    for (const reflector of this.#reflectors) reflector.start();
  }

  async stop(): Promise<void> {
    this.#listener = undefined;
    this.#outage.stop();
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
    await this.#transport.close();
  }

  /** The objects delivered so far stay valid while the API server does not answer. */
  contacts(): readonly SourceContact[] {
    return this.#contacts.map((contact) => contact.state());
  }

  #consequence(): string {
    return this.#incomplete > 0
      ? 'Nothing is written before everything has been read once; it is tried on.'
      : 'The rules stay as they are and it is tried on.';
  }

  #completed(): void {
    this.#incomplete--;
    if (this.#incomplete === 0) this.#listener?.complete();
  }

  #reportProblems(): void {
    const version = this.#stores.reduce((sum, store) => sum + store.problemVersion, 0);
    if (version === this.#reported) return;
    this.#reported = version;
    this.#listener?.problems(boundedProblems(this.#problems(), this.name));
  }

  *#problems(): Generator<Problem> {
    for (const store of this.#stores) for (const problems of store.problems) yield* problems;
  }
}

/** The API server as a source of objects: one reflector for each resource. */
import type { ObjectChange } from '../objects/ApiObject.js';
import { boundedProblems, type Problem } from '../objects/Problem.js';
import { type Clock, systemClock } from '../time/Clock.js';
import { Outage, type SourceLog } from './contact/Outage.js';
import type { ApiTransport } from './http/ApiTransport.js';
import type { ObjectSource, SourceContact, SourceListener } from './ObjectSource.js';
import { ResourceStore } from './watch/ResourceStore.js';
import { type Resource, watchedResources } from './watch/resources.js';
import { WatchGroup } from './watch/WatchGroup.js';

export interface KubernetesSourceOptions {
  readonly transport: ApiTransport;
  readonly nodeName: string;
  /** Label value of the Services to serve; '' for those without the label. */
  readonly serviceProxyName: string;
  /** Absent: what a node needs. */
  readonly resources?: readonly Resource[];
  readonly log: SourceLog;
  readonly clock?: Clock;
  /** 0 to 1, as Math.random. */
  readonly random?: () => number;
}

export class KubernetesSource implements ObjectSource {
  readonly name: string;
  readonly #transport: ApiTransport;
  readonly #outage: Outage;
  readonly #watches: WatchGroup<ObjectChange>;
  readonly #stores: readonly ResourceStore[];
  #listener: SourceListener | undefined;
  #complete = false;
  /** The sum of the stores' versions when problems were reported last. */
  #reported = 0;

  constructor(options: KubernetesSourceOptions) {
    const { transport, nodeName, serviceProxyName, log, clock = systemClock, random = Math.random } = options;
    const { resources = watchedResources(nodeName, serviceProxyName) } = options;
    this.name = `API server ${transport.server}`;
    this.#transport = transport;
    this.#outage = new Outage(clock, transport.server, log, () => this.#consequence());
    const read = resources.map((resource) => ({ resource, store: new ResourceStore(resource) }));
    this.#stores = read.map(({ store }) => store);
    const watched = read.map(({ resource, store }) => ({
      resource,
      store,
      events: {
        changes: (batch: readonly ObjectChange[]) => this.#listener?.changes(batch),
        problemsChanged: () => this.#reportProblems(),
      },
    }));
    this.#watches = new WatchGroup(watched, {
      transport,
      outage: this.#outage,
      clock,
      random,
      onComplete: () => {
        this.#complete = true;
        this.#listener?.complete();
      },
    });
  }

  /** Resolves at once: an API server that is away may come back at any time. */
  async start(listener: SourceListener): Promise<void> {
    this.#listener = listener;
    this.#watches.start();
  }

  async stop(): Promise<void> {
    this.#listener = undefined;
    this.#outage.stop();
    await this.#watches.stop();
    await this.#transport.close();
  }

  /** The objects delivered so far stay valid while the API server does not answer. */
  contacts(): readonly SourceContact[] {
    return this.#watches.contacts.map((contact) => contact.state());
  }

  #consequence(): string {
    return !this.#complete
      ? 'Nothing is written before everything has been read once; it is tried on.'
      : 'The rules stay as they are and it is tried on.';
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

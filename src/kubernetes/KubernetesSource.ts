/** The API server as a source of objects: one reflector for each resource. */
import type { Problem } from '../objects/Problem.js';
import type { ApiTransport } from './api/ApiTransport.js';
import { type Clock, systemClock } from './api/Clock.js';
import { Outage, type SourceLog, type SourceState } from './api/Outage.js';
import { Reflector } from './api/Reflector.js';
import { watchedResources } from './api/resources.js';
import { Turns } from './api/Turns.js';
import type { ObjectSource, SourceListener } from './ObjectSource.js';

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
  readonly #reflectors: readonly Reflector[];
  #listener: SourceListener | undefined;
  #incomplete: number;
  /** The problems last reported, as JSON. */
  #reported = '[]';

  constructor(options: KubernetesSourceOptions) {
    const { transport, nodeName, serviceProxyName, log, clock = systemClock, random = Math.random } = options;
    this.name = `API server ${transport.server}`;
    this.#transport = transport;
    this.#outage = new Outage(clock, transport.server, log);
    const turns = new Turns();
    const resources = watchedResources(nodeName, serviceProxyName);
    this.#incomplete = resources.length;
    this.#reflectors = resources.map((resource) => {
      const events = {
        changes: (batch: Parameters<SourceListener['changes']>[0]) => this.#listener?.changes(batch),
        complete: () => this.#completed(),
        problemsChanged: () => this.#reportProblems(),
        answered: () => this.#outage.answered(resource.title),
        failed: (error: unknown) => this.#outage.failed(resource.title, error),
      };
      return new Reflector({ resource, transport, clock, random, turns, events });
    });
  }

  /** Resolves at once: an API server that is away may come back at any time. */
  async start(listener: SourceListener): Promise<void> {
    this.#listener = listener;
    for (const reflector of this.#reflectors) reflector.start();
  }

  async stop(): Promise<void> {
    this.#listener = undefined;
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
    await this.#transport.close();
  }

  /** Whether the API server answers; the objects delivered so far stay valid while it does not. */
  state(): SourceState {
    return this.#outage.state();
  }

  #completed(): void {
    this.#incomplete--;
    if (this.#incomplete === 0) this.#listener?.complete();
  }

  #reportProblems(): void {
    const list: Problem[] = [];
    for (const { store } of this.#reflectors) for (const problems of store.problems) list.push(...problems);
    const report = JSON.stringify(list);
    if (report === this.#reported) return;
    this.#reported = report;
    this.#listener?.problems(list);
  }
}

/** What an agent knows of itself. A command that shows it tests besides: what an agent believes may not be so. */
import type { Problem } from '../../objects/Problem.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { type TakesTurns, WorkTurns } from '../metrics/WorkTurns.js';
import { portsByKey, type SamePort, stateOf } from './serviceRows.js';

export interface QueueStatus {
  readonly kind: 'choice' | 'hold' | 'accept';
  /** Of nfnetlink_queue; null: there is none. */
  readonly queue: number | null;
  /** How many, whose numbers follow; 1 unless given. */
  readonly queues?: number;
  readonly why: string;
  readonly otherwise: string;
  readonly isWatched: boolean;
  readonly letPass: number;
}

export interface AgentStatus {
  readonly version: string;
  readonly mode: string;
  /** As the mode describes itself: `nftables over netlink, IPv4 and IPv6`. */
  readonly description: string;
  readonly node: string;
  readonly pid: number;
  /** Which network namespace it serves: its key (kernel/host/networkNamespaceKey). */
  readonly networkNamespace: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Command line of `penstock run`, without the program. */
  readonly arguments: readonly string[];
  readonly folder: string;
  /** What the rules in the kernel depend on besides objects and configuration: RuleFacts of the dataplane. */
  readonly ruleFacts: unknown;
  /** Queues of first packets that Services ask for: QueueState of the dataplane. An agent of an older version does not say. */
  readonly queues?: readonly QueueStatus[];
  readonly ready: boolean;
  /** Why it is not ready; '' when it is. */
  readonly waitingFor: string;
  /** Whether the node is being left to another proxy: waiting for its rules, or left. */
  readonly departure: 'serving' | 'waiting' | 'left';
  /** What is waited for, or who serves now; '' while serving. */
  readonly departureSays: string;
  readonly sources: readonly {
    readonly resource: string;
    readonly connected: boolean;
    readonly reason: string;
  }[];
  readonly counts: {
    readonly services: number;
    readonly servicePorts: number;
    readonly endpoints: number;
    readonly withoutEndpoints: number;
    readonly withoutLocalEndpoints: number;
    /** Have no endpoints either, but a first packet waits for one. */
    readonly asleep: number;
  };
  /** The first by name; `counts` has how many there are. */
  readonly withoutEndpoints: readonly string[];
  /** Service ports that a connection can be tried with: TCP, with a cluster IP and endpoints. A few, default/kubernetes first. */
  readonly samples: readonly {
    readonly service: string;
    readonly address: string;
    readonly port: number;
  }[];
  /** Everything that is set aside, or in conflict: the first hundred. */
  readonly problems: readonly Problem[];
  readonly problemCount: number;
  /** Bytes. */
  readonly residentMemory: number;
}

export const SHOWN_PROBLEMS = 100;
const SHOWN_SERVICES = 20;
const SAMPLES = 3;

/** The part that follows from the routing table. In turns: what comes or goes meanwhile is in it or is not. */
export async function tableStatus(
  view: Pick<RoutingView, 'servicePorts'>,
  mode: string,
  turns: TakesTurns = new WorkTurns(),
): Promise<Pick<AgentStatus, 'counts' | 'withoutEndpoints' | 'samples'>> {
  const services = new Set<string>();
  const without = new FirstByKey(SHOWN_SERVICES);
  const samples = new FirstByKey(SAMPLES);
  const states = { ok: 0, asleep: 0, 'no address': 0, 'no endpoints': 0, 'no local endpoints': 0 };
  let endpoints = 0;
  for (const ports of portsByKey(view)) {
    if (turns.isOver()) await turns.next();
    const [{ key, namespace, service, protocol }] = ports;
    const state = stateOf(ports, mode);
    states[state]++;
    services.add(`${namespace}/${service}`);
    for (const port of ports) endpoints += port.endpoints.all.length;
    if (state === 'no endpoints') without.take(key, ports);
    const isSample = state === 'ok' && protocol === 'TCP' && ports.some(({ clusterIP }) => clusterIP);
    // Every cluster has that one, so it comes first.
    if (isSample) samples.take(`${namespace}/${service}` === 'default/kubernetes' ? '' : key, ports);
  }
  return {
    counts: {
      services: services.size,
      servicePorts: Object.values(states).reduce((sum, count) => sum + count, 0),
      endpoints,
      withoutEndpoints: states['no endpoints'],
      withoutLocalEndpoints: states['no local endpoints'],
      asleep: states.asleep,
    },
    withoutEndpoints: without.list().map(([{ key }]) => key),
    samples: samples.list().map((ports) => {
      const [{ namespace, service, port }] = ports;
      const address = ports.find(({ clusterIP }) => clusterIP)?.clusterIP ?? '';
      return { service: `${namespace}/${service}`, address, port };
    }),
  };
}

/** The first few by key, of any number that come in any order. */
class FirstByKey {
  readonly #most: number;
  #kept: { readonly key: string; readonly ports: SamePort }[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  take(key: string, ports: SamePort): void {
    const last = this.#kept.at(-1);
    if (this.#kept.length === this.#most && last && last.key <= key) return;
    const at = this.#kept.findIndex((other) => other.key > key);
    this.#kept.splice(at < 0 ? this.#kept.length : at, 0, { key, ports });
    this.#kept.length = Math.min(this.#kept.length, this.#most);
  }

  list(): readonly SamePort[] {
    return this.#kept.map(({ ports }) => ports);
  }
}

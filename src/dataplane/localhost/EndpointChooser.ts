/**
 * Which endpoint serves a packet that the node sends itself, and who comes next when that one is dead.
 * As in the rules, the node is no outsider: policy Local does not bind it, and a service port with a node port always
 * has endpoints under policy Cluster if it has any.
 */
import { slots } from '../../balancing/slots.js';
import type { Endpoint, ServicePort } from '../../routing/ServicePort.js';

interface Affinity {
  readonly target: string;
  /** Milliseconds on the clock of `now`. */
  readonly expires: number;
}

/** From this many records of affinity on, each addition looks for expired ones. */
const SWEEP_ABOVE = 1024;

export class EndpointChooser {
  readonly #random: () => number;
  readonly #now: () => number;
  /** By family and key of the service port. All of loopback is one client: the node. */
  readonly #affinities = new Map<string, Affinity>();

  constructor(random: () => number, now: () => number) {
    this.#random = random;
    this.#now = now;
  }

  /** The endpoints in the order in which to try them, each once. Endpoints of weight 0 are left out. */
  *order(port: ServicePort): Generator<Endpoint, void> {
    const { weights, mostEntries } = port.balancing;
    let left = slots(port.endpoints.cluster, weights, mostEntries);
    const sticky = this.#stickyTarget(port);
    let next = left.find(({ target }) => target === sticky);
    while (left.length > 0) {
      next ??= left[Math.floor(this.#random() * left.length)] as Endpoint;
      yield next;
      const { target: tried } = next;
      left = left.filter(({ target }) => target !== tried);
      next = undefined;
    }
  }

  /** The endpoint has taken a new connection: with affinity, those that follow go there too. */
  stick(port: ServicePort, endpoint: Endpoint): void {
    if (port.affinitySeconds === undefined) return;
    const now = this.#now();
    if (this.#affinities.size >= SWEEP_ABOVE) {
      for (const [key, { expires }] of this.#affinities) if (expires <= now) this.#affinities.delete(key);
    }
    const expires = now + port.affinitySeconds * 1000;
    this.#affinities.set(affinityKey(port), { target: endpoint.target, expires });
  }

  #stickyTarget(port: ServicePort): string | undefined {
    if (port.affinitySeconds === undefined) return undefined;
    const affinity = this.#affinities.get(affinityKey(port));
    return affinity !== undefined && affinity.expires > this.#now() ? affinity.target : undefined;
  }
}

/** Whether the node may send to the target as an endpoint of the service port. */
export function isCandidate(port: ServicePort, target: string): boolean {
  return port.endpoints.cluster.some((endpoint) => endpoint.target === target);
}

function affinityKey({ family, key }: ServicePort): string {
  return `${family} ${key}`;
}

/**
 * What must be looked at, in one protocol and IP family, because of changes of the routing table since the last look.
 * A change may be the second half of a story: an endpoint goes, then the VIP. So all that a service port lost is kept
 * together, whatever the order.
 */
import type { IpAddress } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { Endpoint, ServicePort } from '../../routing/ServicePort.js';
import { type NodePortAddresses, vipTargets } from './Destinations.js';
import { FormerPlaces } from './FormerPlaces.js';
import { forgetOldest } from './forgetOldest.js';

/** Where the replies of the wanted entries come from: anywhere, or only from these. */
export type ReplySources = 'any' | readonly Pick<Endpoint, 'address' | 'port'>[];

export class OwedChecks {
  readonly #former = new FormerPlaces();
  /** Endpoints that lost traffic, by the key of the service port, then by `address:port`. */
  readonly #lost = new Map<string, Map<string, Endpoint>>();
  /** Keys of service ports to which places lead that did not before: what was sent there may have gone anywhere. */
  readonly #opened = new Set<string>();
  /** Nothing was ever looked at. */
  #everything = false;

  static everything(): OwedChecks {
    const checks = new OwedChecks();
    checks.#everything = true;
    return checks;
  }

  get empty(): boolean {
    return !this.#everything && this.#lost.size === 0 && this.#opened.size === 0 && this.#former.empty;
  }

  /** Clients may be sending to an endpoint that is no more. */
  get urgent(): boolean {
    return this.#everything || this.#lost.size > 0;
  }

  get replySources(): ReplySources {
    if (this.#everything || this.#opened.size > 0) return 'any';
    const sources = new Map<string, Endpoint>();
    for (const endpoints of this.#lost.values()) {
      for (const [target, endpoint] of endpoints) sources.set(target, endpoint);
    }
    return [...sources.values()];
  }

  get hasFormerPlaces(): boolean {
    return !this.#former.empty;
  }

  /** Those of all service ports that entries may contradict. */
  *concerned(servicePorts: ReadonlyMap<string, ServicePort>): Iterable<ServicePort> {
    if (this.#everything) {
      yield* servicePorts.values();
      return;
    }
    for (const key of new Set([...this.#lost.keys(), ...this.#opened])) {
      const port = servicePorts.get(key);
      if (port !== undefined) yield port;
    }
  }

  /** Whether packets to `address` and `port` may have been sent to the endpoint `target` and no longer are. */
  onceLedTo(address: IpAddress, port: number, target: string, addresses: NodePortAddresses): boolean {
    for (const key of this.#former.owners(address, port, addresses)) {
      if (this.#lost.get(key)?.has(target)) return true;
    }
    return false;
  }

  note({ key, before, after }: ServicePortChange): void {
    if (before !== undefined) this.#noteLosses(key, before, after);
    if (after !== undefined && opens(before, after)) this.#open(key);
  }

  merge(other: OwedChecks): void {
    this.#everything ||= other.#everything;
    for (const key of other.#opened) this.#open(key);
    for (const [key, endpoints] of other.#lost) {
      for (const endpoint of endpoints.values()) this.#lose(key, endpoint);
    }
    this.#former.merge(other.#former);
  }

  #noteLosses(key: string, before: ServicePort, after: ServicePort | undefined): void {
    const moved = this.#former.note(before, after);
    const left = new Set(after?.endpoints.reachable.map((endpoint) => endpoint.target));
    for (const endpoint of before.endpoints.reachable) {
      if (moved || !left.has(endpoint.target)) this.#lose(key, endpoint);
    }
  }

  #open(key: string): void {
    this.#opened.add(key);
    forgetOldest(this.#opened);
  }

  #lose(key: string, endpoint: Endpoint): void {
    const endpoints = this.#lost.get(key) ?? new Map<string, Endpoint>();
    endpoints.set(endpoint.target, endpoint);
    forgetOldest(endpoints);
    this.#lost.set(key, endpoints);
    forgetOldest(this.#lost);
  }
}

/** A new VIP or node port, or the first endpoint: without one, a mode may let packets pass as they are. */
function opens(before: ServicePort | undefined, after: ServicePort): boolean {
  if (before === undefined) return true;
  if (after.nodePort !== 0 && after.nodePort !== before.nodePort) return true;
  if (before.endpoints.reachable.length === 0 && after.endpoints.reachable.length > 0) return true;
  const known = vipTargets(before);
  return vipTargets(after).some((vip) => !known.includes(vip));
}

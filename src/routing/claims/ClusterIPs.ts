/**
 * Whose cluster IP an address is. Other Services may not have it on any port: who connects to the cluster IP of a Service
 * must not reach what somebody else put on a port that this Service does not use.
 */
import type { IpAddress } from '../../net/ip.js';

export class ClusterIPs {
  /** Nearly all have one: its name, and then no set. */
  readonly #holders = new Map<IpAddress, string | Set<string>>();
  /** The Services that ask for the address as an external or load-balancer IP. */
  readonly #askers = new Map<IpAddress, Set<string>>();
  readonly #moved = new Set<string>();

  hold(address: IpAddress, service: string): void {
    const known = this.#holders.get(address);
    if (known === undefined) this.#holders.set(address, service);
    else if (typeof known !== 'string') known.add(service);
    else if (known !== service) this.#holders.set(address, new Set([known, service]));
    this.#tellAskers(address);
  }

  release(address: IpAddress, service: string): void {
    const known = this.#holders.get(address);
    if (known === service) this.#holders.delete(address);
    else if (typeof known === 'object' && known.delete(service) && known.size === 0)
      this.#holders.delete(address);
    this.#tellAskers(address);
  }

  ask(address: IpAddress, service: string): void {
    const known = this.#askers.get(address);
    if (known) known.add(service);
    else this.#askers.set(address, new Set([service]));
  }

  forgo(address: IpAddress, service: string): void {
    const known = this.#askers.get(address);
    known?.delete(service);
    if (known?.size === 0) this.#askers.delete(address);
  }

  /** Another Service that has the address as its cluster IP, if there is one; the service's own does not count. */
  otherHolder(address: IpAddress, service: string): string | undefined {
    const holders = this.#holders.get(address);
    if (holders === undefined || holders === service) return undefined;
    if (typeof holders === 'string') return holders;
    // The first by name: what is said must not depend on the order of arrival.
    return holders.has(service) ? undefined : [...holders].sort()[0];
  }

  /** The Services for which the answer of otherHolder() may be another since the last call. */
  settle(): ReadonlySet<string> {
    const moved = new Set(this.#moved);
    this.#moved.clear();
    return moved;
  }

  #tellAskers(address: IpAddress): void {
    for (const service of this.#askers.get(address) ?? []) this.#moved.add(service);
  }
}

/**
 * Whose cluster IP an address is. Other Services may not have it on any port: who connects to the cluster IP of a Service
 * must not reach what somebody else put on a port that this Service does not use.
 *
 * Costs of a change depend neither on how many hold the address nor on how many ask for it, but for settle(), which names
 * those who ask for what has moved once.
 */
import type { IpAddress } from '../../net/ip.js';

/** Several Services with one cluster IP, which only manifests have. */
interface Shared {
  readonly names: Set<string>;
  /** By name, so that what is said does not depend on the order of arrival; undefined: to be found anew. */
  first: string | undefined;
}

const NOBODY: readonly string[] = [];

export class ClusterIPs {
  /** Nearly all have one: its name. */
  readonly #holders = new Map<IpAddress, string | Shared>();
  /** The Services that ask for the address as an external or load-balancer IP. */
  readonly #askers = new Map<IpAddress, Set<string>>();
  /** The addresses that others hold since the last settle(), and that somebody asked for before. */
  readonly #moved = new Set<IpAddress>();

  hold(address: IpAddress, service: string): void {
    this.#move(address);
    const known = this.#holders.get(address);
    if (known === undefined) this.#holders.set(address, service);
    else if (typeof known === 'string') {
      if (known !== service)
        this.#holders.set(address, { names: new Set([known, service]), first: undefined });
    } else {
      known.names.add(service);
      if (known.first !== undefined && service < known.first) known.first = service;
    }
  }

  release(address: IpAddress, service: string): void {
    this.#move(address);
    const known = this.#holders.get(address);
    if (known === service) this.#holders.delete(address);
    if (typeof known !== 'object') return;
    known.names.delete(service);
    if (known.first === service) known.first = undefined;
    if (known.names.size === 0) this.#holders.delete(address);
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

  /** Whether the address is the cluster IP of other Services and not of this one. */
  heldByOther(address: IpAddress, service: string): boolean {
    const holders = this.#holders.get(address);
    if (holders === undefined) return false;
    return typeof holders === 'string' ? holders !== service : !holders.names.has(service);
  }

  /** The Service that heldByOther() speaks of; of several the first by name. */
  otherHolder(address: IpAddress, service: string): string | undefined {
    if (!this.heldByOther(address, service)) return undefined;
    const holders = this.#holders.get(address);
    if (typeof holders !== 'object') return holders;
    holders.first ??= firstByName(holders.names);
    return holders.first;
  }

  /** Adds the Services for which the answer of heldByOther() may be another since they asked and since the last call. */
  settle(services: Set<string>): void {
    for (const address of this.#moved)
      for (const service of this.#askers.get(address) ?? NOBODY) services.add(service);
    this.#moved.clear();
  }

  /** Who asks later asks anew. */
  #move(address: IpAddress): void {
    if (this.#askers.has(address)) this.#moved.add(address);
  }
}

function firstByName(names: Iterable<string>): string | undefined {
  let first: string | undefined;
  for (const name of names) if (first === undefined || name < first) first = name;
  return first;
}

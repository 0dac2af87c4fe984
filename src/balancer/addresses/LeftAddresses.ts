/**
 * Addresses that a Service is not to have any more while its status may have them: the write that takes them away is not done, or one
 * that gives them is on its way, and its answer may be late, or never come. As long as that is so nobody else gets them, else two
 * Services would have one address in their status; for ever where the server refuses one of the writes.
 */
import type { IpAddress } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import { Allocations } from './Allocations.js';
import type { ServiceRequest } from './ServiceRequest.js';

/** `moved on`: taken, or the Service is another one by now; the watch brings what it is. */
export type StatusWriteEnd = 'moved on' | 'refused' | 'unknown';

interface Sent {
  /** Of the Service that the write is about: the server takes it for no other. */
  readonly resourceVersion: string;
  readonly addresses: Set<IpAddress>;
  isInFlight: boolean;
  /** Whether one of them got no answer. */
  isDoubtful: boolean;
}

export class LeftAddresses {
  readonly #left = new Allocations();
  /** By the path of the Service: written, and not seen yet. */
  readonly #sent = new Map<string, Sent>();

  writeBegins(service: ServiceRequest, addresses: readonly IpAddress[]): void {
    const key = objectPath(service);
    const { resourceVersion } = service;
    const before = this.#sent.get(key);
    const isSame = before?.resourceVersion === resourceVersion;
    this.#sent.set(key, {
      resourceVersion,
      addresses: new Set([...(isSame ? before.addresses : []), ...addresses]),
      isInFlight: true,
      isDoubtful: isSame && before.isDoubtful,
    });
  }

  writeEnds(key: string, outcome: StatusWriteEnd): void {
    const sent = this.#sent.get(key);
    if (sent === undefined) return;
    sent.isInFlight = false;
    if (outcome === 'unknown') sent.isDoubtful = true;
    else if (outcome === 'refused' && !sent.isDoubtful) this.#sent.delete(key);
  }

  /** What got no answer cannot be taken any more; a write for another version is another one. */
  doubtEnds(key: string, resourceVersion: string): void {
    const sent = this.#sent.get(key);
    if (sent?.resourceVersion !== resourceVersion || !sent.isDoubtful) return;
    sent.isDoubtful = false;
    if (!sent.isInFlight) this.#sent.delete(key);
  }

  /** As the watch brings it: with another version no write for an earlier one comes after it. */
  seen(service: ServiceRequest): void {
    const key = objectPath(service);
    if (this.#sent.get(key)?.resourceVersion !== service.resourceVersion) this.#sent.delete(key);
  }

  /** The Service is to have these, and nothing else. Answers whether something is free now. */
  leave(service: ServiceRequest, addresses: readonly IpAddress[]): boolean {
    const key = objectPath(service);
    const before = this.#left.addressesOf(key);
    const may = new Set([...service.assigned, ...(this.#sent.get(key)?.addresses ?? [])]);
    for (const address of addresses) may.delete(address);
    this.#left.assign(service, [...may]);
    return before.some((address) => !may.has(address));
  }

  /** The Service is gone, or another's. Answers as leave(). */
  forget(key: string): boolean {
    const before = this.#left.addressesOf(key);
    this.#sent.delete(key);
    this.#left.release(key);
    return before.length > 0;
  }

  addressesOf(key: string): readonly IpAddress[] {
    return this.#left.addressesOf(key);
  }

  isLeft(address: IpAddress): boolean {
    return !this.#left.isFree(address);
  }

  /** A name for people; undefined: nobody, or one that shares it with the Service. */
  whoStillHas(address: IpAddress, service: ServiceRequest): string | undefined {
    if (this.#left.conflict(address, service) === undefined) return undefined;
    const others = this.#left.holdersOf(address).filter((key) => key !== objectPath(service));
    return `${others.join(', ')}, whose status is not yet without it`;
  }
}

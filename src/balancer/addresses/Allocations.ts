/** Who has which address, and who may share it. */
import type { IpAddress } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import { type AddressRange, numberedAddresses } from './AddressRange.js';
import type { ServiceRequest } from './ServiceRequest.js';

export type Sharer = Pick<ServiceRequest, 'namespace' | 'name' | 'sharingKey' | 'ports'>;

export class Allocations {
  readonly #holders = new Map<IpAddress, Map<string, Sharer>>();
  readonly #byService = new Map<string, readonly IpAddress[]>();
  /** Below this number every address of the range is held: a search for a free one begins here. */
  #fullBelow = new Map<AddressRange, bigint>();
  readonly #isReserved: (address: IpAddress) => boolean;

  /** `isReserved`: such addresses are not free, though nobody holds them. */
  constructor(isReserved: (address: IpAddress) => boolean = () => false) {
    this.#isReserved = isReserved;
  }

  /** The addresses of a Service become these. */
  assign(service: Sharer, addresses: readonly IpAddress[]): void {
    const key = objectPath(service);
    this.release(key);
    if (addresses.length === 0) return;
    this.#byService.set(key, addresses);
    for (const address of addresses) {
      const holders = this.#holders.get(address) ?? new Map<string, Sharer>();
      holders.set(key, service);
      this.#holders.set(address, holders);
    }
  }

  /** `namespace/name`. */
  release(key: string): void {
    for (const address of this.#byService.get(key) ?? []) {
      const holders = this.#holders.get(address);
      holders?.delete(key);
      if (holders?.size === 0) this.#holders.delete(address);
    }
    if (this.#byService.delete(key)) this.#fullBelow.clear();
  }

  /** `namespace/name` of those who have the address. */
  holdersOf(address: IpAddress): readonly string[] {
    return [...(this.#holders.get(address)?.keys() ?? [])];
  }

  /** Some are reserved no longer. */
  reservationsEnded(): void {
    this.#fullBelow.clear();
  }

  /** The free addresses of the range, in order. */
  *free(range: AddressRange): Generator<IpAddress> {
    let allHeld = true;
    for (const { address, number } of numberedAddresses(range, this.#fullBelow.get(range) ?? range.first)) {
      if (this.isFree(address)) {
        allHeld = false;
        yield address;
      } else if (allHeld) this.#fullBelow.set(range, number + 1n);
    }
  }

  addressesOf(key: string): readonly IpAddress[] {
    return this.#byService.get(key) ?? [];
  }

  isFree(address: IpAddress): boolean {
    return !this.#holders.has(address) && !this.#isReserved(address);
  }

  /** How many addresses are given, of those for which `test` holds. */
  count(test: (address: IpAddress) => boolean): number {
    let count = 0;
    for (const address of this.#holders.keys()) if (test(address)) count++;
    return count;
  }

  /** Why the Service cannot have the address; undefined: it can. */
  conflict(address: IpAddress, service: Sharer): string | undefined {
    for (const [key, holder] of this.#holders.get(address) ?? []) {
      if (key === objectPath(service)) continue;
      const why = whyNotShared(holder, service);
      if (why !== undefined) return `${address} belongs to ${key}${why === '' ? '' : `: ${why}`}`;
    }
    return undefined;
  }

  /** Addresses that Services with this sharing key have, in order. */
  sharedBy(sharingKey: string): readonly IpAddress[] {
    if (sharingKey === '') return [];
    return [...this.#holders].flatMap(([address, holders]) =>
      [...holders.values()].some((holder) => holder.sharingKey === sharingKey) ? [address] : [],
    );
  }
}

/** '' when sharing was not asked for. */
function whyNotShared(holder: Sharer, service: Sharer): string | undefined {
  if (service.sharingKey === '' || holder.sharingKey === '') return '';
  if (holder.sharingKey !== service.sharingKey) return 'its sharing key is another one';
  const port = service.ports.find((each) => holder.ports.includes(each));
  if (port !== undefined) return `both have the port ${port}`;
  return undefined;
}

/** The ranges that cluster IPs are taken from, gathered from the ServiceCIDR objects (KEP-1880). */
import { type Cidr, familyOf, IP_FAMILIES, type IpFamily } from '../net/ip.js';
import type { ServiceCIDR } from '../objects/ServiceCIDR.js';

export class ServiceCidrs {
  /** By name of the object. Several objects may hold the same range. */
  readonly #objects = new Map<string, readonly Cidr[]>();
  readonly #committed: Record<IpFamily, readonly Cidr[]> = { IPv4: [], IPv6: [] };
  #pending = false;

  get hasPendingChanges(): boolean {
    return this.#pending;
  }

  set(object: ServiceCIDR): void {
    this.#objects.set(object.name, object.cidrs);
    this.#pending = true;
  }

  delete(name: string): void {
    if (this.#objects.delete(name)) this.#pending = true;
  }

  /** Answers whether the ranges are others now. */
  commit(): boolean {
    if (!this.#pending) return false;
    this.#pending = false;
    let changed = false;
    const all = [...new Set([...this.#objects.values()].flat())].sort();
    for (const family of IP_FAMILIES) {
      const now = all.filter((cidr) => familyOf(cidr) === family);
      const before = this.#committed[family];
      const same = now.length === before.length && now.every((cidr, i) => cidr === before[i]);
      if (!same) this.#committed[family] = now;
      changed ||= !same;
    }
    return changed;
  }

  /** Sorted as text, each once; the same array until its contents change. */
  of(family: IpFamily): readonly Cidr[] {
    return this.#committed[family];
  }
}

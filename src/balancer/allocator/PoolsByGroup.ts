/** Pools of the API groups that have them. Of two with one name that of penstock.io counts, as for the agents that announce. */
import type { AddressPool } from '../addresses/AddressPool.js';

const OURS = 'penstock.io';

export class PoolsByGroup {
  readonly #pools = new Map<string, Map<string, AddressPool>>();

  /** `key` as poolName(), `group`: `metallb.io`. */
  set(key: string, group: string, pool: AddressPool): void {
    const pools = this.#pools.get(key) ?? new Map<string, AddressPool>();
    this.#pools.set(key, pools.set(group, pool));
  }

  delete(key: string, group: string): void {
    const pools = this.#pools.get(key);
    pools?.delete(group);
    if (pools?.size === 0) this.#pools.delete(key);
  }

  /** The one that counts; undefined: no group has one of this name. */
  get(key: string): AddressPool | undefined {
    const pools = this.#pools.get(key);
    return pools?.get(OURS) ?? pools?.values().next().value;
  }
}

/**
 * Who owns an address and port. Two Services may ask for the same external IP and port, or (in manifests) for the
 * same node port. The older Service wins, always, whatever the order of arrival; Services without a creation time
 * come after those with one; the namespace and name decide between equals.
 */
export interface Claimant {
  /** `namespace/name` of the Service. */
  readonly service: string;
  /** Milliseconds since the epoch, or undefined. */
  readonly created: number | undefined;
  /** Index of the port in the Service: two ports of one Service may ask for the same node port. */
  readonly portIndex: number;
}

export class VipClaims {
  readonly #claims = new Map<string, Claimant[]>();

  /** The key of an address and port that packets are sent to. */
  static vipKey(address: string, protocol: string, port: number): string {
    return `${address} ${protocol} ${port}`;
  }

  static nodePortKey(protocol: string, port: number): string {
    return `node port ${protocol} ${port}`;
  }

  /** The winner, or undefined when nobody claims it. */
  owner(key: string): Claimant | undefined {
    return this.#claims.get(key)?.[0];
  }

  /** Every claimant, the winner first. */
  claimants(key: string): readonly Claimant[] {
    return this.#claims.get(key) ?? [];
  }

  add(key: string, claimant: Claimant): void {
    const list = this.#claims.get(key);
    if (!list) this.#claims.set(key, [claimant]);
    else {
      const same = list.some((c) => c.service === claimant.service && c.portIndex === claimant.portIndex);
      if (same) return;
      list.push(claimant);
      list.sort(byAge);
    }
  }

  /** Removes all claims of a Service on the key. */
  remove(key: string, service: string): void {
    const left = this.#claims.get(key)?.filter((c) => c.service !== service);
    if (left?.length) this.#claims.set(key, left);
    else this.#claims.delete(key);
  }
}

function byAge(a: Claimant, b: Claimant): number {
  const age = (a.created ?? Number.POSITIVE_INFINITY) - (b.created ?? Number.POSITIVE_INFINITY);
  if (age < 0 || age > 0) return age;
  if (a.service !== b.service) return a.service < b.service ? -1 : 1;
  return a.portIndex - b.portIndex;
}

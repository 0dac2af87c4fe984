/**
 * Who owns an address and port. Two Services may ask for the same one: an external IP names any address, and manifests may
 * say anything. The better rank wins: a cluster IP belongs to the Service that the API server gave it to, load-balancer IPs
 * and node ports are assigned too, and external IPs are asked for by whoever may write a Service. Within a rank the older
 * Service wins, always, whatever the order of arrival; Services without a creation time come after those with one; the
 * namespace and name decide between equals.
 *
 * Costs of a change do not depend on how many claim the same, but for the first look after the owner went.
 */
import { flat } from '../../objects/intern.js';

export const RANK = { clusterIP: 0, assigned: 1, externalIP: 2 } as const;
export type Rank = (typeof RANK)[keyof typeof RANK];

export interface Claimant {
  /** `namespace/name` of the Service. */
  readonly service: string;
  readonly rank: Rank;
  /** Milliseconds since the epoch, or undefined. */
  readonly created: number | undefined;
  /** Index of the port in the Service: two ports of one Service may ask for the same node port. */
  readonly portIndex: number;
}

/** Several claims on one key. */
interface Contest {
  /** By Service and port. */
  readonly claimants: Map<string, Claimant>;
  /** undefined: to be found anew. */
  owner: Claimant | undefined;
}

const NOBODY: readonly string[] = [];

export class VipClaims {
  /** Nearly all keys have one claimant, and then no contest. */
  readonly #claims = new Map<string, Claimant | Contest>();
  /** The owners before the first change since settle(), by key. */
  readonly #touched = new Map<string, Claimant | undefined>();
  /** Services that claim something else, which the owner of the key may have a better right to. */
  readonly #watchers = new Map<string, Set<string>>();

  /** The key of an address and port that packets are sent to. */
  static vipKey(address: string, protocol: string, port: number): string {
    return flat(`${address} ${protocol} ${port}`);
  }

  static nodePortKey(protocol: string, port: number): string {
    return flat(`node port ${protocol} ${port}`);
  }

  /** The winner, or undefined when nobody claims it. */
  owner(key: string): Claimant | undefined {
    return ownerOf(this.#claims.get(key));
  }

  /** The better claim counts where a Service's port makes two on one key. */
  add(key: string, claimant: Claimant): void {
    const found = this.#claims.get(key);
    if (found === undefined) {
      // Nobody lost it: only who watches it wants to know.
      if (this.#watchers.has(key)) this.#touch(key, found);
      this.#claims.set(key, claimant);
      return;
    }
    this.#touch(key, found);
    const contest = isContest(found) ? found : contestOf(found);
    const id = idOf(claimant.service, claimant.portIndex);
    const same = contest.claimants.get(id);
    if (same !== undefined && comesBefore(same, claimant)) return;
    contest.claimants.set(id, claimant);
    if (contest.owner !== undefined && comesBefore(claimant, contest.owner)) contest.owner = claimant;
    this.#claims.set(key, contest);
  }

  remove(key: string, service: string, portIndex: number): void {
    const found = this.#claims.get(key);
    if (found === undefined) return;
    this.#touch(key, found);
    if (!isContest(found)) {
      if (found.service === service && found.portIndex === portIndex) this.#claims.delete(key);
      return;
    }
    if (!found.claimants.delete(idOf(service, portIndex))) return;
    if (found.claimants.size === 0) this.#claims.delete(key);
    else if (found.owner?.service === service && found.owner.portIndex === portIndex) found.owner = undefined;
  }

  watch(key: string, service: string): void {
    const known = this.#watchers.get(key);
    if (known) known.add(service);
    else this.#watchers.set(key, new Set([service]));
  }

  unwatch(key: string, service: string): void {
    const known = this.#watchers.get(key);
    known?.delete(service);
    if (known?.size === 0) this.#watchers.delete(key);
  }

  /**
   * Adds the Services that won or lost something since the last call, and who watches that; but not who got what nobody had,
   * and knows it.
   */
  settle(moved: Set<string>): void {
    for (const [key, before] of this.#touched) {
      const now = this.owner(key);
      if (sameClaimant(before, now)) continue;
      if (before) moved.add(before.service);
      if (now) moved.add(now.service);
      for (const watcher of this.#watchers.get(key) ?? NOBODY) moved.add(watcher);
    }
    this.#touched.clear();
  }

  #touch(key: string, found: Claimant | Contest | undefined): void {
    if (!this.#touched.has(key)) this.#touched.set(key, ownerOf(found));
  }
}

function isContest(found: Claimant | Contest): found is Contest {
  return 'claimants' in found;
}

function ownerOf(found: Claimant | Contest | undefined): Claimant | undefined {
  if (found === undefined || !isContest(found)) return found;
  found.owner ??= first(found.claimants.values());
  return found.owner;
}

function contestOf(claimant: Claimant): Contest {
  return { claimants: new Map([[idOf(claimant.service, claimant.portIndex), claimant]]), owner: claimant };
}

/** In everything that a rival is compared with: a Service that was made anew is younger under the same name. */
function sameClaimant(a: Claimant | undefined, b: Claimant | undefined): boolean {
  return (
    a?.service === b?.service &&
    a?.portIndex === b?.portIndex &&
    a?.rank === b?.rank &&
    a?.created === b?.created
  );
}

function idOf(service: string, portIndex: number): string {
  return `${portIndex} ${service}`;
}

function first(claimants: Iterable<Claimant>): Claimant | undefined {
  let best: Claimant | undefined;
  for (const claimant of claimants) if (best === undefined || comesBefore(claimant, best)) best = claimant;
  return best;
}

export function comesBefore(a: Claimant, b: Claimant): boolean {
  if (a.rank !== b.rank) return a.rank < b.rank;
  const [x, y] = [a.created ?? Number.POSITIVE_INFINITY, b.created ?? Number.POSITIVE_INFINITY];
  if (x !== y) return x < y;
  if (a.service !== b.service) return a.service < b.service;
  return a.portIndex < b.portIndex;
}

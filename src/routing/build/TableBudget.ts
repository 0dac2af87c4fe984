/**
 * How many entries weights and maglev may make of the endpoints of one family's Services. Modes nftables and userspace
 * write such lists entry by entry: 8 kB of object can ask for millions. A Service over its budget, or over what the others
 * leave of the node's, gets shorter lists. Who gives way to whom depends on the objects alone, so that nodes agree.
 */
import type { Balancing } from '../../balancing/Balancing.js';
import { maglevSizeOf } from '../../balancing/maglev.js';
import { reducedWeights } from '../../balancing/reducedWeights.js';
import { MAX_SLOTS } from '../../balancing/slots.js';
import type { Service } from '../../objects/Service.js';
import type { WantedVips } from '../claims/wantedVips.js';
import type { Endpoint } from '../ServicePort.js';

/** Beyond one for each endpoint and address: some 0.7 s of work in mode nftables. */
export const MOST_ENTRIES_OF_SERVICE = 262_144;
/** Of one family: some 3 s of work. */
export const MOST_ENTRIES_OF_NODE = 1_048_576;

/** Entries of one list at most, from what nobody exceeds to one for each endpoint. */
const STEPS = [65_521, 16_381, 4093, 1021, 251, 61, 0] as const;

interface Claim {
  readonly namespace: string;
  readonly created: number;
  /** By step: all entries beyond one for each endpoint and address. */
  readonly costs: readonly number[];
  /** The first step within the budget of a Service. */
  readonly own: number;
  /** The step in force. */
  given: number;
}

/** What one Service would write: its lists of endpoints, and under how many addresses each is written. */
export interface Demand {
  readonly service: Pick<Service, 'namespace' | 'created'>;
  readonly balancing: Balancing;
  readonly lists: readonly { readonly endpoints: readonly Endpoint[]; readonly copies: number }[];
}

/** Whether a Service needs a budget at all; nearly none does. */
export function isBudgeted({ algorithm, weights }: Balancing): boolean {
  return algorithm === 'maglev' || weights.size > 0;
}

/** How often modes write a list of endpoints of one port: once for each address and node port, twice under policy Local. */
export function copiesOf(service: Service, vips: WantedVips, nodePort: number): number {
  const outside = vips.externalIPs.length + vips.loadBalancerIPs.length + (nodePort === 0 ? 0 : 1);
  return (
    (vips.clusterIP === undefined ? 0 : 1) + outside * (service.externalTrafficPolicy === 'Local' ? 2 : 1)
  );
}

export class TableBudget {
  /** By `namespace/name`. */
  readonly #claims = new Map<string, Claim>();
  /** Those that have less than the budget of a Service allows. */
  readonly #short = new Set<string>();
  /** Sum of costs, each within the budget of a Service. */
  #total = 0;
  /** Who comes before whom; undefined: to be sorted anew. */
  #order: readonly string[] | undefined;
  readonly #changed = new Set<string>();

  /** `demand` undefined: the Service needs none. */
  set(path: string, demand: Demand | undefined): void {
    const before = this.#claims.get(path);
    if (!before && !demand) return;
    if (before) this.#total -= costAt(before, before.own);
    const after = demand && claimOf(demand, before?.given);
    if (after) {
      this.#total += costAt(after, after.own);
      this.#claims.set(path, after);
      if (after.given !== after.own) this.#short.add(path);
    } else {
      this.#claims.delete(path);
      this.#short.delete(path);
    }
    if (!before || !after || before.created !== after.created) this.#order = undefined;
    this.#changed.add(path);
  }

  /** Shares the node's budget out anew. Returns the Services that get more or less than before. */
  settle(): readonly string[] {
    if (this.#changed.size === 0) return [];
    const isEnough = this.#total <= MOST_ENTRIES_OF_NODE;
    const moved = isEnough ? this.#giveAll() : this.#giveInOrder();
    this.#changed.clear();
    return moved;
  }

  #giveAll(): readonly string[] {
    const moved = [...this.#short].filter((path) => this.#give(path, this.#claims.get(path)?.own ?? 0));
    this.#short.clear();
    return moved;
  }

  #giveInOrder(): readonly string[] {
    this.#order ??= this.#sorted();
    let left = MOST_ENTRIES_OF_NODE;
    return this.#order.filter((path) => {
      const claim = this.#claims.get(path) as Claim;
      const step = claim.costs.findIndex((cost, i) => i >= claim.own && cost <= left);
      left -= costAt(claim, step);
      if (step === claim.own) this.#short.delete(path);
      else this.#short.add(path);
      return this.#give(path, step);
    });
  }

  #give(path: string, step: number): boolean {
    const claim = this.#claims.get(path);
    if (!claim || claim.given === step) return false;
    claim.given = step;
    return true;
  }

  /** The oldest Service of each namespace, then the second of each, and so on: no namespace can take all. */
  #sorted(): readonly string[] {
    const byAge = [...this.#claims].sort(
      ([a, first], [b, second]) => first.created - second.created || (a < b ? -1 : 1),
    );
    const seen = new Map<string, number>();
    const placed = byAge.map(([path, { namespace }]) => {
      const place = seen.get(namespace) ?? 0;
      seen.set(namespace, place + 1);
      return { path, place };
    });
    return placed.sort((a, b) => a.place - b.place).map(({ path }) => path);
  }

  /** Balancing.mostEntries of a Service. */
  mostEntries(path: string): number | undefined {
    const claim = this.#claims.get(path);
    return claim === undefined || claim.given === 0 ? undefined : STEPS[claim.given];
  }

  /** What is shortened and why, when it makes a difference: one sentence, or none. */
  remarks(path: string): readonly string[] {
    const claim = this.#claims.get(path);
    const wanted = claim?.costs[0] ?? 0;
    if (!claim || costAt(claim, claim.given) === wanted) return [];
    const why =
      claim.given === claim.own
        ? `more than one Service may have (${MOST_ENTRIES_OF_SERVICE})`
        : `more than other Services leave of what a node may have (${MOST_ENTRIES_OF_NODE})`;
    const meanwhile =
      costAt(claim, claim.given) === 0
        ? 'each endpoint has one entry, whatever its weight'
        : `each list has ${STEPS[claim.given]} at most, so that shares are less exact and more clients move when endpoints change`;
    return [
      `maglev and weights need ${wanted} entries for its ports and addresses in modes nftables and userspace, ${why}: ` +
        `${meanwhile}; use fewer ports and addresses, smaller weights, or another algorithm`,
    ];
  }
}

function costAt(claim: Claim, step: number): number {
  return claim.costs[step] as number;
}

/** `given`: the step in force so far. */
function claimOf({ service, balancing, lists }: Demand, given: number | undefined): Claim {
  const measured = lists.map(({ endpoints, copies }) => {
    const counted = reducedWeights(endpoints, balancing.weights).filter((weight) => weight > 0);
    return { copies, rows: counted.length, sum: counted.reduce((total, weight) => total + weight, 0) };
  });
  const entries = (sum: number, rows: number, most: number) =>
    balancing.algorithm === 'maglev'
      ? maglevSizeOf(sum, rows, most)
      : Math.max(rows, Math.min(sum, most, MAX_SLOTS));
  const costs = STEPS.map((most) =>
    measured.reduce((total, { copies, rows, sum }) => total + copies * (entries(sum, rows, most) - rows), 0),
  );
  const own = costs.findIndex((cost) => cost <= MOST_ENTRIES_OF_SERVICE);
  const { namespace, created = Number.MAX_SAFE_INTEGER } = service;
  return { namespace, created, costs, own, given: given ?? own };
}

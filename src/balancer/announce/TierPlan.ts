/**
 * Which node each slot of each announced port leads to, from one change to the next: the tables remember who had a slot before.
 */
import { cidrContains, familyOf, type IpAddress } from '../../net/ip.js';
import type { Member, MembershipView } from '../membership/Member.js';
import { SlotHistory } from '../tiers/SlotHistory.js';
import type { TierNode, TierService } from '../tiers/tierContents.js';
import type { Alive } from './AliveNodes.js';
import type { BalancedService } from './LoadBalancerServices.js';
import type { LanInterface } from './OwnNode.js';

export class TierPlan {
  readonly #histories = new Map<string, SlotHistory>();

  /**
   * Ports of Services under policy Local: their endpoints' nodes lead to endpoints of their own, without SNAT. `now` on the
   * clock.
   */
  services(
    balanced: readonly BalancedService[],
    { nodes: alive, taking }: Alive,
    now: number,
  ): readonly TierService[] {
    const services: TierService[] = [];
    const used = new Set<string>();
    for (const { policy, ports, affinity } of balanced) {
      if (policy !== 'Local') continue;
      for (const { protocol, port, nodes, addresses } of ports) {
        for (const address of addresses) {
          const key = `${address} ${protocol} ${port}`;
          used.add(key);
          const history = this.#histories.get(key) ?? new SlotHistory();
          this.#histories.set(key, history);
          history.set(
            nodes[familyOf(address)].filter((name) => taking.has(name)),
            now,
          );
          services.push({
            address,
            protocol,
            port,
            hash: affinity ? 'client' : 'flow',
            table: history.table,
            before: history.before(alive, now),
          });
        }
      }
    }
    for (const key of this.#histories.keys()) if (!used.has(key)) this.#histories.delete(key);
    return services;
  }

  /** When a slot forgets its node before; undefined: none does. */
  get nextChange(): number | undefined {
    let first: number | undefined;
    for (const { nextChange } of this.#histories.values())
      if (nextChange !== undefined) first = Math.min(first ?? nextChange, nextChange);
    return first;
  }
}

/** The nodes on a LAN of this one, and where. */
export function reachableNodes(
  self: string,
  { members }: MembershipView,
  lans: readonly LanInterface[],
): ReadonlyMap<string, TierNode> {
  const nodes = new Map<string, TierNode>();
  for (const member of members.values()) {
    if (member.name === self) continue;
    for (const { index, name, networks } of lans) {
      const on = addressesOf(member).filter((address) =>
        networks.some((network) => cidrContains(network, address)),
      );
      if (on.length === 0) continue;
      const of = (family: string) => on.find((address) => familyOf(address) === family);
      const [v4, v6] = [of('IPv4'), of('IPv6')];
      nodes.set(member.name, {
        addresses: { ...(v4 === undefined ? {} : { IPv4: v4 }), ...(v6 === undefined ? {} : { IPv6: v6 }) },
        device: { name, index },
      });
      break;
    }
  }
  return nodes;
}

function addressesOf({ address, addresses }: Member): readonly IpAddress[] {
  if (addresses !== undefined && addresses.length > 0) return addresses;
  return address === undefined ? [] : [address];
}

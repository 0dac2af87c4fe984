/** Removes the tables of both tiers, and nothing else. */
import { removeTables } from '../../kernel/nftables/table/removeTables.js';
import { TIER_TABLE } from './tierRules.js';

const FAMILIES = ['netdev', 'IPv4', 'IPv6'] as const;

/** `plan` changes nothing. Resolves to the tables there were: `netdev penstock-balancer`. Rejects with NetlinkError. */
export function removeTiers(what: 'plan' | 'remove'): Promise<string[]> {
  return removeTables(
    what,
    FAMILIES.map((family) => ({ family, name: TIER_TABLE })),
  );
}

/** Every nftables table of ours: those of the modes, and those of the load balancer, which is of no mode. */
import { removeTiers } from '../../balancer/tiers/removeTiers.js';
import { removeNftables } from '../../modes/removing/removeNftables.js';

/** As removeNftables(). */
export async function removeOwnTables(what: 'plan' | 'remove'): Promise<string[]> {
  return [...(await removeNftables(what)), ...(await removeTiers(what))];
}

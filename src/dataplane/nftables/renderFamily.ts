/** What a full sync of one family writes on a host without our table, as text for `nft -f`. */
import { printTransaction } from '../../kernel/nftables/printTransaction.js';
import type { IpFamily } from '../../net/ip.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { type HostFacts, type NftablesOptions, nftablesSettings } from './desired/NftablesSettings.js';
import { TABLE } from './desired/sets.js';
import { planFull } from './plan/planFull.js';

/** `host`: addresses for node ports, and what listens on loopback. */
export async function renderFamily(
  family: IpFamily,
  table: RoutingView,
  options: NftablesOptions,
  host: HostFacts,
  tableName: string = TABLE,
): Promise<string> {
  const settings = nftablesSettings(options, family, table, host);
  const { transaction } = await planFull(table.servicePorts(family).values(), settings, undefined, tableName);
  return printTransaction(transaction);
}

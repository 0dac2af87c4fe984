/** What a full sync of one family writes on a host without our table, as text for `nft -f`. */
import { printTransaction } from '../../kernel/nftables/printTransaction.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { TABLE } from './NftablesDataplane.js';
import { type NftablesOptions, nftablesSettings } from './NftablesSettings.js';
import { planFull } from './planFull.js';

/** `addresses`: those of the host, for node ports. */
export async function renderFamily(
  family: IpFamily,
  table: RoutingView,
  options: NftablesOptions,
  addresses: readonly IpAddress[],
): Promise<string> {
  const settings = nftablesSettings(options, family, table, { addresses, localhostPorts: {} });
  const { transaction } = await planFull(table.servicePorts(family).values(), settings, undefined, TABLE);
  return printTransaction(transaction);
}

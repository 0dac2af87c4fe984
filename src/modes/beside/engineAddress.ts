/** Which address of this host connections are sent to that the agent itself accepts. */
import { familyOf, type IpAddress, type IpFamily, isLoopback, LOOPBACK } from '../../net/ip.js';
import type { RoutingView } from '../../routing/RoutingView.js';

/** The node's own address, or any other of this host; loopback serves only the host itself. */
export function engineAddress(
  family: IpFamily,
  { node }: RoutingView,
  addresses: readonly IpAddress[],
): IpAddress {
  const own = addresses.filter((ip) => familyOf(ip) === family && !isLoopback(ip) && !ip.startsWith('fe80:'));
  const wanted = node.addresses[family];
  if (wanted !== undefined && own.includes(wanted)) return wanted;
  return own[0] ?? LOOPBACK[family];
}

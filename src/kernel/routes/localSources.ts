/**
 * Which address the host connects from to an IPv4 address of its own: that address itself, unless its route in table local
 * names another (linux/rtnetlink.h; fib_prefsrc in net/ipv4/route.c).
 */
import { type IpAddress, ipToBytes } from '../../net/ip.js';
import { commitChanges, type Refused } from '../netlink/commitChanges.js';
import { MessageFlag } from '../netlink/constants.js';
import type { MessageWriter } from '../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { FAMILY } from './constants.js';
import type { Link } from './Link.js';

export interface LocalSource {
  /** IPv4, of the link. */
  readonly address: IpAddress;
  readonly link: Link;
  /** Another address of this host. */
  readonly source: IpAddress;
}

/** RTM_NEWROUTE. */
const NEW_ROUTE = 24;
/** RT_TABLE_LOCAL, RTPROT_KERNEL, RT_SCOPE_HOST, RTN_LOCAL: the kernel's own route for an address is replaced. */
const LOCAL_ROUTE = [255, 2, 254, 2] as const;
/** RTA_*. */
const RouteAttribute = { DESTINATION: 1, OUTPUT_INTERFACE: 4, PREFERRED_SOURCE: 7 } as const;

/** Holds for connections that are made from now on. Resolves to what was refused; the others took effect. */
export async function setLocalSources(
  channel: NetlinkChannel,
  changes: readonly LocalSource[],
): Promise<readonly Refused<LocalSource>[]> {
  return commitChanges(channel, changes, { put, print });
}

/** struct rtmsg, bytes: u8 family, destination and source length, tos, table, protocol, scope, type, u32 flags. */
function put(writer: MessageWriter, { address, link, source }: LocalSource): void {
  const destination = ipToBytes(address);
  writer.beginMessage(NEW_ROUTE, MessageFlag.CREATE | MessageFlag.REPLACE);
  for (const byte of [FAMILY.IPv4, destination.length * 8, 0, 0, ...LOCAL_ROUTE]) writer.putU8(byte);
  writer.putU32(0);
  writer.raw(RouteAttribute.DESTINATION, destination);
  writer.u32(RouteAttribute.OUTPUT_INTERFACE, link.index);
  writer.raw(RouteAttribute.PREFERRED_SOURCE, ipToBytes(source));
  writer.endMessage();
}

function print({ address, link, source }: LocalSource): string {
  return `route replace local ${address} dev ${link.name} src ${source} table local`;
}

/**
 * Ranges of addresses that are local to this host although no interface has them, by routes of ours in table local: packets to them
 * are delivered here, and nothing answers ARP for them outside, as nobody asks for the addresses of a range that is not on a LAN
 * (linux/rtnetlink.h).
 */
import { bytesToIp, type Cidr, familyOf, type IpAddress, type IpFamily, ipToBytes } from '../../net/ip.js';
import { AttributeReader } from '../netlink/AttributeReader.js';
import { MessageFlag, NetlinkProtocol } from '../netlink/constants.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import { FAMILY } from './constants.js';

/** RTM_*. */
const NEW_ROUTE = 24;
const DELETE_ROUTE = 25;
const GET_ROUTE = 26;
/** RT_TABLE_LOCAL, RT_SCOPE_HOST, RTN_LOCAL. */
const TABLE_LOCAL = 255;
const SCOPE_HOST = 254;
const LOCAL = 2;
/** RTPROT_*: as DivertRoutes.ts has it, so that routes can be told to be ours. */
const PROTOCOL = 207;
/** RTA_*. */
const RouteAttribute = { DESTINATION: 1, OUTPUT_INTERFACE: 4, PREFERRED_SOURCE: 7 } as const;
/** struct rtmsg, bytes: u8 family, destination and source length, tos, table, protocol, scope, type, u32 flags. */
const ROUTE_HEADER = 12;
const LOOPBACK_INTERFACE = 1;

/** What connections of this host to the range bear as their source: an address of its own. */
export interface LocalRange {
  readonly cidr: Cidr;
  readonly source: IpAddress;
}

export class LocalRanges {
  /** In place of what was there for the same range. Rejects with NetlinkError. */
  async put(range: LocalRange): Promise<void> {
    await ask(`add the local route of ${range.cidr}`, added(range, MessageFlag.REPLACE));
  }

  /** Whether it had been missing. Rejects with NetlinkError. */
  async restore(range: LocalRange): Promise<boolean> {
    const what = `add the local route of ${range.cidr}`;
    return didIt(ask(what, added(range, MessageFlag.EXCLUSIVE)), 'EEXIST');
  }

  /** Whether there was one of ours. Rejects with NetlinkError. */
  async remove(cidr: Cidr): Promise<boolean> {
    const writer = begun(cidr, DELETE_ROUTE, 0);
    writer.endMessage();
    return didIt(ask(`delete the local route of ${cidr}`, writer), 'ESRCH', 'ENOENT');
  }

  /** Those of ours. Rejects with NetlinkError. */
  async list(family: IpFamily): Promise<readonly Cidr[]> {
    const writer = new MessageWriter(64);
    writer.beginMessage(GET_ROUTE);
    for (const byte of [FAMILY[family], 0, 0, 0, TABLE_LOCAL, 0, 0, 0]) writer.putU8(byte);
    writer.putU32(0);
    writer.endMessage();
    const messages = await NetlinkChannel.using(NetlinkProtocol.ROUTE, (channel) =>
      channel.dump(`list the ${family} routes of table local`, writer),
    );
    return messages.flatMap(({ payload }) => ofOurs(payload));
  }
}

/** The range of a route that is ours; else none. */
function ofOurs(payload: Uint8Array): Cidr[] {
  const [, bits, , , table, protocol, , type] = payload;
  if (table !== TABLE_LOCAL || protocol !== PROTOCOL || type !== LOCAL) return [];
  const reader = new AttributeReader(payload, ROUTE_HEADER);
  while (reader.next()) {
    if (reader.type === RouteAttribute.DESTINATION) return [`${bytesToIp(reader.bytes())}/${bits}` as Cidr];
  }
  return [];
}

async function ask(what: string, writer: MessageWriter): Promise<void> {
  await NetlinkChannel.using(NetlinkProtocol.ROUTE, (channel) => channel.request(what, writer));
}

/** False when the kernel says one of `unneeded`. */
async function didIt(asking: Promise<void>, ...unneeded: readonly string[]): Promise<boolean> {
  try {
    await asking;
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && unneeded.includes(error.code)) return false;
    throw error;
  }
}

function added({ cidr, source }: LocalRange, flags: number): MessageWriter {
  const writer = begun(cidr, NEW_ROUTE, MessageFlag.CREATE | flags);
  writer.u32(RouteAttribute.OUTPUT_INTERFACE, LOOPBACK_INTERFACE);
  writer.raw(RouteAttribute.PREFERRED_SOURCE, ipToBytes(source));
  writer.endMessage();
  return writer;
}

function begun(cidr: Cidr, type: number, flags: number): MessageWriter {
  const [address = '', bits = ''] = cidr.split('/');
  const writer = new MessageWriter(128);
  writer.beginMessage(type, flags);
  const head = [FAMILY[familyOf(cidr)], Number(bits), 0, 0, TABLE_LOCAL, PROTOCOL, SCOPE_HOST, LOCAL];
  for (const byte of head) writer.putU8(byte);
  writer.putU32(0);
  writer.raw(RouteAttribute.DESTINATION, ipToBytes(address as IpAddress));
  return writer;
}

/** Puts connections into the kernel's table that nobody has: to a VIP, answered by an endpoint. */
import { MessageType } from '../../src/kernel/conntrack/constants.js';
import { MessageFlag, NetlinkProtocol } from '../../src/kernel/netlink/constants.js';
import { MessageWriter } from '../../src/kernel/netlink/MessageWriter.js';
import { NetlinkChannel } from '../../src/kernel/netlink/NetlinkChannel.js';
import { beginNetfilterMessage } from '../../src/kernel/netlink/nfnetlink.js';
import { ipToBytes } from '../../src/net/ip.js';
import { ip } from './builders.js';

/** CTA_*; CTA_NAT_V4_MINIP, _MAXIP, CTA_NAT_PROTO; CTA_PROTONAT_PORT_MIN, _MAX. */
const Attribute = {
  ORIGINAL: 1,
  REPLY: 2,
  STATUS: 3,
  PROTOCOL_INFO: 4,
  NAT_DESTINATION: 13,
  TIMEOUT: 7,
} as const;
const Nat = { LEAST: 1, MOST: 2, PROTOCOL: 3 } as const;
const AF_INET = 2;
const CREATE = 0x400;
/** IPS_SEEN_REPLY, IPS_ASSURED, IPS_CONFIRMED. */
const STATUS = 2 | 4 | 8;
const ESTABLISHED = 3;
const BATCH = 100;

export interface Connections {
  readonly vip: string;
  readonly port: number;
  readonly endpoint: string;
  readonly endpointPort: number;
  readonly count: number;
}

interface Tuple {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

export async function insertConnections({
  vip,
  port,
  endpoint,
  endpointPort,
  count,
}: Connections): Promise<void> {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER);
  try {
    const writer = new MessageWriter();
    for (let first = 0; first < count; first += BATCH) {
      writer.clear();
      for (let n = first; n < Math.min(count, first + BATCH); n++) {
        const client = `10.200.${n >> 16}.${(n >> 8) & 255}`;
        const clientPort = 1024 + (n & 255);
        beginNetfilterMessage(writer, MessageType.NEW, CREATE, AF_INET);
        putTuple(writer, Attribute.ORIGINAL, {
          source: client,
          sourcePort: clientPort,
          destination: vip,
          destinationPort: port,
        });
        putTuple(writer, Attribute.REPLY, {
          source: vip,
          sourcePort: port,
          destination: client,
          destinationPort: clientPort,
        });
        writer.u32be(Attribute.STATUS, STATUS);
        writer.u32be(Attribute.TIMEOUT, 600);
        const info = writer.openNest(Attribute.PROTOCOL_INFO);
        const tcp = writer.openNest(1);
        writer.u8(1, ESTABLISHED);
        writer.closeNest(tcp);
        writer.closeNest(info);
        const nat = writer.openNest(Attribute.NAT_DESTINATION);
        writer.raw(Nat.LEAST, ipToBytes(ip(endpoint)));
        writer.raw(Nat.MOST, ipToBytes(ip(endpoint)));
        const ports = writer.openNest(Nat.PROTOCOL);
        writer.u16be(1, endpointPort);
        writer.u16be(2, endpointPort);
        writer.closeNest(ports);
        writer.closeNest(nat);
        writer.endMessage();
      }
      writer.addFlags(MessageFlag.ACK);
      const [refused] = await channel.batch('make connections', writer);
      if (refused !== undefined) throw refused;
    }
  } finally {
    channel.close();
  }
}

function putTuple(writer: MessageWriter, type: number, tuple: Tuple): void {
  const whole = writer.openNest(type);
  const addresses = writer.openNest(1);
  writer.raw(1, ipToBytes(ip(tuple.source)));
  writer.raw(2, ipToBytes(ip(tuple.destination)));
  writer.closeNest(addresses);
  const protocol = writer.openNest(2);
  writer.u8(1, 6);
  writer.u16be(2, tuple.sourcePort);
  writer.u16be(3, tuple.destinationPort);
  writer.closeNest(protocol);
  writer.closeNest(whole);
}

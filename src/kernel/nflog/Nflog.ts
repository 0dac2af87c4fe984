/** Packets that rules hand to a group of nfnetlink_log (linux/netfilter/nfnetlink_log.h): their headers, and why. */

import { bytesToIp, type IpAddress } from '../../net/ip.js';
import { type Clock, systemClock } from '../../time/Clock.js';
import { NETFILTER_HEADER, NetfilterSubsystem, NetlinkProtocol } from '../netlink/constants.js';
import type { Message } from '../netlink/Message.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { beginNetfilterRequest, netfilterType } from '../netlink/nfnetlink.js';
import { type Gathering, LogPace, PROMPT } from './LogPace.js';

/** NFULNL_MSG_*. */
const PACKET = netfilterType(NetfilterSubsystem.LOG, 0);
const CONFIG = netfilterType(NetfilterSubsystem.LOG, 1);
/** NFULA_CFG_*, NFULNL_CFG_CMD_BIND, NFULNL_COPY_PACKET. */
const ConfigAttribute = { COMMAND: 1, MODE: 2, TIMEOUT: 4, THRESHOLD: 5, FLAGS: 6 } as const;
const BIND = 1;
const COPY_PACKET = 2;
/** NFULA_CFG_FLAGS: packets are numbered, so that losses show. */
const NUMBERED = 1;
/** NFULA_*. */
const PacketAttribute = { PAYLOAD: 9, PREFIX: 10, SEQUENCE: 12 } as const;

const HEADER_BYTES = 80;
const RECEIVE_BUFFER_BYTES = 1024 * 1024;
/** Others may listen to the first: ulogd and the like begin at 0, so few come here. */
const GROUPS = [71, 72, 73, 74] as const;

export interface LoggedPacket {
  /** What the rule says. */
  readonly words: string;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly source: IpAddress;
  readonly sourcePort: number;
  readonly destination: IpAddress;
  readonly destinationPort: number;
  /** Of this group, one more than that of the packet before, unless some were lost. */
  readonly sequence: number;
}

export class Nflog {
  readonly group: number;
  readonly #channel: NetlinkChannel;

  private constructor(group: number, channel: NetlinkChannel) {
    this.group = group;
    this.#channel = channel;
  }

  /** Listens to the first group that nobody else has. Rejects with NetlinkError: EBUSY when all are taken, EPERM. */
  static async open(take: (packet: LoggedPacket) => void, clock: Clock = systemClock): Promise<Nflog> {
    const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
      receiveBufferBytes: RECEIVE_BUFFER_BYTES,
    });
    let set: (gathering: Gathering) => void = () => {};
    const pace = new LogPace((gathering) => set(gathering));
    channel.listen([], {
      message: (message) => {
        const packet = message.type === PACKET ? decodePacket(message) : undefined;
        if (packet === undefined) return;
        pace.met(clock.now());
        take(packet);
      },
      // Whoever floods is told apart by the numbers of what still comes.
      lost: () => {},
    });
    let reason: unknown;
    for (const group of GROUPS) {
      try {
        await channel.request(`listen to log group ${group}`, bindRequest(group));
        await channel.request(`set up log group ${group}`, setupRequest(group));
        // A kernel that does not take it goes on as it was set up.
        set = (gathering) =>
          void channel.request(`pace log group ${group}`, paceRequest(group, gathering)).catch(() => {});
        return new Nflog(group, channel);
      } catch (error) {
        reason = error;
      }
    }
    channel.close();
    throw reason;
  }

  /** Another use of the same socket: none of its answers are packets. */
  get channel(): NetlinkChannel {
    return this.#channel;
  }

  close(): void {
    this.#channel.close();
  }
}

function bindRequest(group: number): MessageWriter {
  const writer = new MessageWriter(64);
  beginNetfilterRequest(writer, CONFIG, group);
  writer.u8(ConfigAttribute.COMMAND, BIND);
  writer.endMessage();
  return writer;
}

function setupRequest(group: number): MessageWriter {
  const writer = new MessageWriter(128);
  beginNetfilterRequest(writer, CONFIG, group);
  // struct nfulnl_msg_config_mode: be32 range, u8 mode, u8 pad.
  writer.raw(ConfigAttribute.MODE, Uint8Array.of(0, 0, 0, HEADER_BYTES, COPY_PACKET, 0));
  writePace(writer, PROMPT);
  writer.u16be(ConfigAttribute.FLAGS, NUMBERED);
  writer.endMessage();
  return writer;
}

function paceRequest(group: number, gathering: Gathering): MessageWriter {
  const writer = new MessageWriter(64);
  beginNetfilterRequest(writer, CONFIG, group);
  writePace(writer, gathering);
  writer.endMessage();
  return writer;
}

function writePace(writer: MessageWriter, { packets, milliseconds }: Gathering): void {
  // In hundredths of a second.
  writer.u32be(ConfigAttribute.TIMEOUT, Math.ceil(milliseconds / 10));
  writer.u32be(ConfigAttribute.THRESHOLD, packets);
}

const PROTOCOLS: Readonly<Record<number, LoggedPacket['protocol'] | undefined>> = {
  6: 'TCP',
  17: 'UDP',
  132: 'SCTP',
};
const IPV4_LEAST = 20;
const IPV6_HEADER = 40;

/** Undefined for what is no packet with ports. */
export function decodePacket(message: Message): LoggedPacket | undefined {
  const reader = message.attributes(NETFILTER_HEADER);
  let words = '';
  let payload: Uint8Array = new Uint8Array();
  let sequence = 0;
  while (reader.next()) {
    if (reader.type === PacketAttribute.PREFIX) words = reader.string();
    else if (reader.type === PacketAttribute.PAYLOAD) payload = reader.bytes();
    else if (reader.type === PacketAttribute.SEQUENCE) sequence = reader.u32be();
  }
  const addresses = decodeHeader(payload);
  return addresses && { words, sequence, ...addresses };
}

function decodeHeader(bytes: Uint8Array): Omit<LoggedPacket, 'words' | 'sequence'> | undefined {
  const version = (bytes[0] ?? 0) >> 4;
  const length = version === 4 ? ((bytes[0] ?? 0) & 15) * 4 : version === 6 ? IPV6_HEADER : 0;
  if (length < IPV4_LEAST || bytes.length < length + 4) return undefined;
  const protocol = PROTOCOLS[bytes[version === 4 ? 9 : 6] ?? 0];
  if (protocol === undefined) return undefined;
  const size = version === 4 ? 4 : 16;
  const at = version === 4 ? 12 : 8;
  const port = (offset: number) => ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
  return {
    protocol,
    source: bytesToIp(bytes.slice(at, at + size)),
    sourcePort: port(length),
    destination: bytesToIp(bytes.slice(at + size, at + 2 * size)),
    destinationPort: port(length + 2),
  };
}

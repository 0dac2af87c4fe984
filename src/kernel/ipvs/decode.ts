/** Reads virtual servers, real servers and settings out of the kernel's messages. Nothing here throws. */
import { bytesToIp, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { AttributeReader } from '../netlink/AttributeReader.js';
import { GENERIC_HEADER } from '../netlink/genericNetlink.js';
import { HOST_IS_LITTLE_ENDIAN } from '../netlink/hostOrder.js';
import type { Message } from '../netlink/Message.js';
import {
  ADDRESS_SIZE,
  CommandAttribute,
  DestinationAttribute,
  FAMILY,
  FLAGS_SIZE,
  FORWARDING_MASK,
  FORWARDINGS,
  InfoAttribute,
  PROTOCOL,
  ServiceAttribute,
  StatsAttribute,
} from './constants.js';
import type { IpvsInfo, IpvsTimeouts } from './IpvsInfo.js';
import type { RealServerState } from './RealServer.js';
import {
  type IpvsCounters,
  type IpvsProtocol,
  VirtualServerFlag,
  type VirtualServerId,
  type VirtualServerState,
} from './VirtualServer.js';

const NO_COUNTERS: IpvsCounters = { connections: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };
const NO_ADDRESS: Uint8Array = new Uint8Array(ADDRESS_SIZE);

/** Undefined for bytes that make no sense, and for families and protocols that we do not know. */
export function decodeService(message: Message): VirtualServerState | undefined {
  const attributes = message.attributes(GENERIC_HEADER);
  while (attributes.next()) {
    if (attributes.type === CommandAttribute.SERVICE) return readService(attributes.children());
  }
  return undefined;
}

function readService(service: AttributeReader): VirtualServerState | undefined {
  let family: IpFamily | undefined;
  let protocol: IpvsProtocol | undefined;
  let address = NO_ADDRESS;
  let port = 0;
  let mark = 0;
  let scheduler = '';
  let flags = 0;
  let timeoutSeconds = 0;
  let netmask = { network: 0, host: 0 };
  let counters = NO_COUNTERS;
  while (service.next()) {
    switch (service.type) {
      case ServiceAttribute.FAMILY:
        family = familyOfNumber(service.u16());
        break;
      case ServiceAttribute.PROTOCOL:
        protocol = protocolOfNumber(service.u16());
        break;
      case ServiceAttribute.ADDRESS:
        address = service.bytes();
        break;
      case ServiceAttribute.PORT:
        port = service.u16be();
        break;
      case ServiceAttribute.MARK:
        mark = service.u32();
        break;
      case ServiceAttribute.SCHEDULER:
        scheduler = service.string();
        break;
      case ServiceAttribute.FLAGS:
        flags = readFlags(service);
        break;
      case ServiceAttribute.TIMEOUT:
        timeoutSeconds = service.u32();
        break;
      case ServiceAttribute.NETMASK:
        netmask = { network: service.u32be(), host: service.u32() };
        break;
      case ServiceAttribute.STATS64:
        counters = readCounters(service.children());
    }
  }
  if (family === undefined || service.malformed) return undefined;
  const id = readId(family, protocol, address, port, mark);
  if (id === undefined) return undefined;
  const netmaskBits = family === 'IPv4' ? Math.clz32(~netmask.network) : netmask.host;
  return {
    ...id,
    scheduler,
    flags: flags & ~VirtualServerFlag.HASHED,
    timeoutSeconds,
    netmaskBits,
    counters,
  };
}

function readId(
  family: IpFamily,
  protocol: IpvsProtocol | undefined,
  bytes: Uint8Array,
  port: number,
  mark: number,
): VirtualServerId | undefined {
  if (mark !== 0) return { family, mark };
  const address = readAddress(bytes, family);
  if (protocol === undefined || address === undefined) return undefined;
  return { family, protocol, address, port };
}

/** `family` is that of the virtual server: kernels before 3.18 do not tell the real server's own. */
export function decodeDestination(message: Message, family: IpFamily): RealServerState | undefined {
  const attributes = message.attributes(GENERIC_HEADER);
  while (attributes.next()) {
    if (attributes.type === CommandAttribute.DESTINATION)
      return readDestination(attributes.children(), family);
  }
  return undefined;
}

function readDestination(destination: AttributeReader, serviceFamily: IpFamily): RealServerState | undefined {
  let family: IpFamily | undefined = serviceFamily;
  let bytes = NO_ADDRESS;
  let method = 0;
  let counters = NO_COUNTERS;
  const state = {
    port: 0,
    weight: 0,
    upperThreshold: 0,
    lowerThreshold: 0,
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
  };
  while (destination.next()) {
    switch (destination.type) {
      case DestinationAttribute.ADDRESS:
        bytes = destination.bytes();
        break;
      case DestinationAttribute.PORT:
        state.port = destination.u16be();
        break;
      case DestinationAttribute.FAMILY:
        family = familyOfNumber(destination.u16());
        break;
      case DestinationAttribute.FORWARDING:
        method = destination.u32();
        break;
      case DestinationAttribute.WEIGHT:
        state.weight = destination.u32();
        break;
      case DestinationAttribute.UPPER_THRESHOLD:
        state.upperThreshold = destination.u32();
        break;
      case DestinationAttribute.LOWER_THRESHOLD:
        state.lowerThreshold = destination.u32();
        break;
      case DestinationAttribute.ACTIVE:
        state.activeConnections = destination.u32();
        break;
      case DestinationAttribute.INACTIVE:
        state.inactiveConnections = destination.u32();
        break;
      case DestinationAttribute.PERSISTENT:
        state.persistentConnections = destination.u32();
        break;
      case DestinationAttribute.STATS64:
        counters = readCounters(destination.children());
    }
  }
  const address = family && readAddress(bytes, family);
  const forwarding = FORWARDINGS[method & FORWARDING_MASK];
  if (address === undefined || forwarding === undefined || destination.malformed) return undefined;
  return { address, forwarding, counters, ...state };
}

/** Zeros for what the kernel does not tell. */
export function decodeTimeouts(messages: readonly Message[]): IpvsTimeouts {
  let tcp = 0;
  let tcpFin = 0;
  let udp = 0;
  for (const message of messages) {
    const attributes = message.attributes(GENERIC_HEADER);
    while (attributes.next()) {
      if (attributes.type === CommandAttribute.TIMEOUT_TCP) tcp = attributes.u32();
      else if (attributes.type === CommandAttribute.TIMEOUT_TCP_FIN) tcpFin = attributes.u32();
      else if (attributes.type === CommandAttribute.TIMEOUT_UDP) udp = attributes.u32();
    }
  }
  return { tcp, tcpFin, udp };
}

/** Version 0.0.0 and no table for what the kernel does not tell. */
export function decodeInfo(messages: readonly Message[]): IpvsInfo {
  let version = 0;
  let tableSize = 0;
  for (const message of messages) {
    const attributes = message.attributes(GENERIC_HEADER);
    while (attributes.next()) {
      if (attributes.type === InfoAttribute.VERSION) version = attributes.u32();
      else if (attributes.type === InfoAttribute.TABLE_SIZE) tableSize = attributes.u32();
    }
  }
  return { version: [16, 8, 0].map((shift) => (version >>> shift) & 255).join('.'), tableSize };
}

function readCounters(stats: AttributeReader): IpvsCounters {
  let [connections, packetsIn, packetsOut, bytesIn, bytesOut] = [0, 0, 0, 0, 0];
  while (stats.next()) {
    if (stats.type === StatsAttribute.CONNECTIONS) connections = stats.u64();
    else if (stats.type === StatsAttribute.PACKETS_IN) packetsIn = stats.u64();
    else if (stats.type === StatsAttribute.PACKETS_OUT) packetsOut = stats.u64();
    else if (stats.type === StatsAttribute.BYTES_IN) bytesIn = stats.u64();
    else if (stats.type === StatsAttribute.BYTES_OUT) bytesOut = stats.u64();
  }
  return { connections, packetsIn, packetsOut, bytesIn, bytesOut };
}

/** struct ip_vs_flags without its mask. */
function readFlags(attribute: AttributeReader): number {
  const bytes = attribute.bytes();
  if (bytes.length < FLAGS_SIZE) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0, HOST_IS_LITTLE_ENDIAN);
}

function readAddress(bytes: Uint8Array, family: IpFamily): IpAddress | undefined {
  if (bytes.length !== ADDRESS_SIZE) return undefined;
  return bytesToIp(family === 'IPv4' ? bytes.subarray(0, 4) : bytes);
}

function familyOfNumber(number: number): IpFamily | undefined {
  if (number === FAMILY.IPv4) return 'IPv4';
  return number === FAMILY.IPv6 ? 'IPv6' : undefined;
}

function protocolOfNumber(number: number): IpvsProtocol | undefined {
  return (Object.keys(PROTOCOL) as IpvsProtocol[]).find((name) => PROTOCOL[name] === number);
}

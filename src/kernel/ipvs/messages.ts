/** Writes the messages of IPVS's generic netlink family. */
import { familyOf, type IpAddress, ipToBytes } from '../../net/ip.js';
import { beginGenericMessage } from '../netlink/genericNetlink.js';
import { HOST_IS_LITTLE_ENDIAN } from '../netlink/hostOrder.js';
import type { MessageWriter } from '../netlink/MessageWriter.js';
import {
  ADDRESS_SIZE,
  Command,
  CommandAttribute,
  DestinationAttribute,
  FAMILY,
  FLAGS_SIZE,
  FORWARDINGS,
  LONGEST_SCHEDULER,
  PROTOCOL,
  ServiceAttribute,
} from './constants.js';
import type { IpvsChange } from './IpvsChange.js';
import type { RealServer, RealServerId } from './RealServer.js';
import type { VirtualServer, VirtualServerId } from './VirtualServer.js';

const COMMAND: Readonly<Record<IpvsChange['action'], number>> = {
  'add service': Command.NEW_SERVICE,
  'set service': Command.SET_SERVICE,
  'delete service': Command.DELETE_SERVICE,
  'add destination': Command.NEW_DESTINATION,
  'set destination': Command.SET_DESTINATION,
  'delete destination': Command.DELETE_DESTINATION,
};

/** `family` is the number of the generic netlink family. Throws RangeError on a scheduler name of no or over 15 bytes. */
export function putChange(writer: MessageWriter, family: number, change: IpvsChange): void {
  beginGenericMessage(writer, family, COMMAND[change.action]);
  switch (change.action) {
    case 'add service':
    case 'set service':
      putService(writer, change.service, change.service);
      break;
    case 'delete service':
      putService(writer, change.service);
      break;
    case 'add destination':
    case 'set destination':
      putService(writer, change.service);
      putDestination(writer, change.destination, change.destination);
      break;
    case 'delete destination':
      putService(writer, change.service);
      putDestination(writer, change.destination);
  }
  writer.endMessage();
}

/** Without `settings`, only what tells it from others. */
export function putService(writer: MessageWriter, id: VirtualServerId, settings?: VirtualServer): void {
  const nest = writer.openNest(CommandAttribute.SERVICE);
  writer.u16(ServiceAttribute.FAMILY, FAMILY[id.family]);
  if ('mark' in id) writer.u32(ServiceAttribute.MARK, id.mark);
  else {
    writer.u16(ServiceAttribute.PROTOCOL, PROTOCOL[id.protocol]);
    writer.raw(ServiceAttribute.ADDRESS, wideAddress(id.address));
    writer.u16be(ServiceAttribute.PORT, id.port);
  }
  if (settings !== undefined) putSettings(writer, settings);
  writer.closeNest(nest);
}

function putSettings(
  writer: MessageWriter,
  { family, scheduler, flags, timeoutSeconds, netmaskBits }: VirtualServer,
): void {
  const size = Buffer.byteLength(scheduler);
  if (size === 0 || size > LONGEST_SCHEDULER) {
    throw new RangeError(
      `IPVS scheduler ${JSON.stringify(scheduler)}: a name has 1 to ${LONGEST_SCHEDULER} bytes, not ${size}`,
    );
  }
  writer.string(ServiceAttribute.SCHEDULER, scheduler);
  writer.raw(ServiceAttribute.FLAGS, flagsAndMask(flags));
  writer.u32(ServiceAttribute.TIMEOUT, timeoutSeconds);
  // An IPv4 mask is the mask, an IPv6 one its length.
  if (family === 'IPv4')
    writer.u32be(ServiceAttribute.NETMASK, netmaskBits === 0 ? 0 : -1 << (32 - netmaskBits));
  else writer.u32(ServiceAttribute.NETMASK, netmaskBits);
}

/** Without `settings`, only what tells it from others. */
function putDestination(writer: MessageWriter, id: RealServerId, settings?: RealServer): void {
  const nest = writer.openNest(CommandAttribute.DESTINATION);
  // Since Linux 3.18; earlier ones ignore it. Needed only where the families differ.
  writer.u16(DestinationAttribute.FAMILY, FAMILY[familyOf(id.address)]);
  writer.raw(DestinationAttribute.ADDRESS, wideAddress(id.address));
  writer.u16be(DestinationAttribute.PORT, id.port);
  if (settings !== undefined) {
    writer.u32(DestinationAttribute.FORWARDING, FORWARDINGS.indexOf(settings.forwarding));
    writer.u32(DestinationAttribute.WEIGHT, settings.weight);
    writer.u32(DestinationAttribute.UPPER_THRESHOLD, settings.upperThreshold);
    writer.u32(DestinationAttribute.LOWER_THRESHOLD, settings.lowerThreshold);
  }
  writer.closeNest(nest);
}

/** union nf_inet_addr: 16 bytes, of which IPv4 uses the first 4. */
function wideAddress(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(ADDRESS_SIZE);
  bytes.set(ipToBytes(address));
  return bytes;
}

/** All flags are meant, not only those that are set. */
function flagsAndMask(flags: number): Uint8Array {
  const bytes = new Uint8Array(FLAGS_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, flags, HOST_IS_LITTLE_ENDIAN);
  view.setUint32(4, 0xffff_ffff, HOST_IS_LITTLE_ENDIAN);
  return bytes;
}

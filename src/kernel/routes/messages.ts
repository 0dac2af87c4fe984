/** Writes the messages of links and addresses. */
import { familyOf, ipToBytes } from '../../net/ip.js';
import { MessageFlag } from '../netlink/constants.js';
import type { MessageWriter } from '../netlink/MessageWriter.js';
import {
  AddressAttribute,
  FAMILY,
  INFO_KIND,
  LinkAttribute,
  LONGEST_NAME,
  MessageType,
  UP,
} from './constants.js';
import type { AddressChange, LinkChange } from './LinkChange.js';

/** Throws RangeError on a name of 0 or over 15 bytes. */
export function putLinkChange(writer: MessageWriter, change: LinkChange): void {
  switch (change.action) {
    case 'add dummy': {
      writer.beginMessage(MessageType.NEW_LINK, MessageFlag.CREATE | MessageFlag.EXCLUSIVE);
      putLinkHeader(writer, 0);
      putLinkName(writer, change.name);
      const info = writer.openNest(LinkAttribute.INFO);
      writer.latin1(INFO_KIND, 'dummy');
      writer.closeNest(info);
      break;
    }
    case 'set up':
      writer.beginMessage(MessageType.NEW_LINK);
      putLinkHeader(writer, change.link.index, UP);
      break;
    case 'delete link':
      writer.beginMessage(MessageType.DELETE_LINK);
      putLinkHeader(writer, change.link.index);
  }
  writer.endMessage();
}

/** Asks for the link of that name. */
export function putGetLink(writer: MessageWriter, name: string): void {
  writer.beginMessage(MessageType.GET_LINK);
  putLinkHeader(writer, 0);
  putLinkName(writer, name);
  writer.endMessage();
}

export function putAddressChange(writer: MessageWriter, { action, link, address }: AddressChange): void {
  const bytes = ipToBytes(address);
  if (action === 'add address')
    writer.beginMessage(MessageType.NEW_ADDRESS, MessageFlag.CREATE | MessageFlag.EXCLUSIVE);
  else writer.beginMessage(MessageType.DELETE_ADDRESS);
  writer.putU8(FAMILY[familyOf(address)]);
  writer.putU8(bytes.length * 8);
  // Flags and RT_SCOPE_UNIVERSE.
  writer.putU16(0);
  writer.putU32(link.index);
  writer.raw(AddressAttribute.LOCAL, bytes);
  writer.raw(AddressAttribute.ADDRESS, bytes);
  writer.endMessage();
}

/** Asks for the addresses of one family: a kernel before 4.20 cannot select by link. */
export function putListAddresses(writer: MessageWriter, family: number): void {
  writer.beginMessage(MessageType.GET_ADDRESS);
  writer.putU8(family);
  writer.putU8(0);
  writer.putU16(0);
  writer.putU32(0);
  writer.endMessage();
}

/** `flags`: to be set; the others stay as they are. */
function putLinkHeader(writer: MessageWriter, index: number, flags = 0): void {
  writer.putU32(0);
  writer.putU32(index);
  writer.putU32(flags);
  writer.putU32(flags);
}

function putLinkName(writer: MessageWriter, name: string): void {
  const size = Buffer.byteLength(name);
  if (size === 0 || size > LONGEST_NAME) {
    throw new RangeError(`link ${JSON.stringify(name)}: a name has 1 to ${LONGEST_NAME} bytes, not ${size}`);
  }
  writer.string(LinkAttribute.NAME, name);
}

/** Generic netlink: families that modules register by name (linux/genetlink.h, net/netlink/genetlink.c). */
import { MessageWriter } from './MessageWriter.js';
import type { NetlinkChannel } from './NetlinkChannel.js';
import { NetlinkError } from './NetlinkError.js';

/** GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID and CTRL_ATTR_FAMILY_NAME. */
const CONTROL = 16;
const GET_FAMILY = 3;
const FAMILY_ID = 1;
const FAMILY_NAME = 2;

/** Of all families here and of the control family. */
const VERSION = 1;

/** struct genlmsghdr, bytes: u8 command, u8 version, u16 reserved. */
export const GENERIC_HEADER = 4;

/** Begins a message to a family; attributes come next, then endMessage(). */
export function beginGenericMessage(writer: MessageWriter, family: number, command: number, flags = 0): void {
  writer.beginMessage(family, flags);
  writer.putU8(command);
  writer.putU8(VERSION);
  writer.putU16(0);
}

/**
 * The number of a family, which is the type of its messages. The kernel loads the module that has the name as an
 * alias. Undefined when there is none; rejects with NetlinkError. `channel` is of NetlinkProtocol.GENERIC.
 */
export async function findGenericFamily(channel: NetlinkChannel, name: string): Promise<number | undefined> {
  const writer = new MessageWriter(64);
  beginGenericMessage(writer, CONTROL, GET_FAMILY);
  writer.string(FAMILY_NAME, name);
  writer.endMessage();
  try {
    const messages = await channel.request(`find the generic netlink family ${name}`, writer);
    for (const message of messages) {
      const attributes = message.attributes(GENERIC_HEADER);
      while (attributes.next()) if (attributes.type === FAMILY_ID) return attributes.u16();
    }
    return undefined;
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Network interfaces over rtnetlink (linux/rtnetlink.h, linux/if_link.h). */
import { commitChanges, type Refused } from '../netlink/commitChanges.js';
import type { Message } from '../netlink/Message.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { NetlinkError } from '../netlink/NetlinkError.js';
import { INFO_KIND, LINK_HEADER, LinkAttribute, UP } from './constants.js';
import type { Link } from './Link.js';
import type { LinkChange } from './LinkChange.js';
import { putGetLink, putLinkChange } from './messages.js';
import { printLinkChange } from './printChange.js';

/** Every method rejects with NetlinkError when the kernel refuses or does not answer. */
export class Links {
  readonly #channel: NetlinkChannel;

  /** `channel` is of NetlinkProtocol.ROUTE, and stays the caller's to close. */
  constructor(channel: NetlinkChannel) {
    this.#channel = channel;
  }

  /** Undefined when there is none. Rejects with RangeError on a name of 0 or over 15 bytes. */
  async find(name: string): Promise<Link | undefined> {
    const writer = new MessageWriter(64);
    putGetLink(writer, name);
    try {
      const [message] = await this.#channel.request(`find link ${name}`, writer);
      return message && decodeLink(message);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENODEV') return undefined;
      throw error;
    }
  }

  /** Carries out the changes in their order. Resolves to those that were refused; the others took effect. */
  async commit(changes: readonly LinkChange[]): Promise<readonly Refused<LinkChange>[]> {
    return commitChanges(this.#channel, changes, { put: putLinkChange, print: printLinkChange });
  }
}

/** Of an RTM_NEWLINK. Undefined for bytes that make no sense; never throws. */
export function decodeLink(message: Message): Link | undefined {
  const header = message.payload.subarray(0, LINK_HEADER);
  if (header.length < LINK_HEADER) return undefined;
  let name = '';
  let kind: string | undefined;
  const attributes = message.attributes(LINK_HEADER);
  while (attributes.next()) {
    if (attributes.type === LinkAttribute.NAME) name = attributes.string();
    else if (attributes.type === LinkAttribute.INFO) {
      const info = attributes.children();
      while (info.next()) if (info.type === INFO_KIND) kind = info.string();
    }
  }
  if (name === '' || attributes.malformed) return undefined;
  const [, index = 0, flags = 0] = new Uint32Array(header.slice().buffer);
  return { name, index, kind, isUp: (flags & UP) !== 0 };
}

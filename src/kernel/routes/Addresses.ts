/** Addresses of network interfaces over rtnetlink (linux/rtnetlink.h, linux/if_addr.h). */
import { bytesToIp, type IpAddress, type IpFamily } from '../../net/ip.js';
import { commitChanges, type Refused } from '../netlink/commitChanges.js';
import type { Message } from '../netlink/Message.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import type { NetlinkChannel } from '../netlink/NetlinkChannel.js';
import { ADDRESS_HEADER, AddressAttribute, FAMILY } from './constants.js';
import type { Link } from './Link.js';
import type { AddressChange } from './LinkChange.js';
import { putAddressChange, putListAddresses } from './messages.js';
import { printAddressChange } from './printChange.js';

/** Every method rejects with NetlinkError when the kernel refuses or does not answer. */
export class Addresses {
  readonly #channel: NetlinkChannel;

  /** `channel` is of NetlinkProtocol.ROUTE, and stays the caller's to close. */
  constructor(channel: NetlinkChannel) {
    this.#channel = channel;
  }

  /** Those of one link, with link-local ones. */
  async list({ index }: Link, family: IpFamily): Promise<readonly IpAddress[]> {
    const writer = new MessageWriter(64);
    putListAddresses(writer, FAMILY[family]);
    const messages = await this.#channel.dump(`list ${family} addresses`, writer);
    return messages
      .map(decodeAddress)
      .filter((found) => found?.linkIndex === index)
      .flatMap((found) => found?.address ?? []);
  }

  /**
   * Carries out the changes in their order, with few system calls. Resolves to those that were refused; the others took
   * effect.
   */
  async commit(changes: readonly AddressChange[]): Promise<readonly Refused<AddressChange>[]> {
    return commitChanges(this.#channel, changes, { put: putAddressChange, print: printAddressChange });
  }
}

/** Of an RTM_NEWADDR. Undefined for bytes that make no sense; never throws. */
export function decodeAddress(
  message: Message,
): { readonly linkIndex: number; readonly address: IpAddress } | undefined {
  const header = message.payload.slice(0, ADDRESS_HEADER);
  if (header.length < ADDRESS_HEADER) return undefined;
  let bytes: Uint8Array | undefined;
  const attributes = message.attributes(ADDRESS_HEADER);
  while (attributes.next()) {
    // LOCAL, where the two ends of a link differ, is the one that is ours.
    if (attributes.type === AddressAttribute.LOCAL) bytes = attributes.bytes();
    else if (attributes.type === AddressAttribute.ADDRESS) bytes ??= attributes.bytes();
  }
  if (attributes.malformed || (bytes?.length !== 4 && bytes?.length !== 16)) return undefined;
  const [, linkIndex = 0] = new Uint32Array(header.buffer);
  return { linkIndex, address: bytesToIp(bytes) };
}

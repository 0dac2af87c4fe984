/** The addresses of this machine, kept up to date by the kernel's own notices (linux/rtnetlink.h, linux/if_addr.h). */
import { bytesToIp, type IpAddress } from '../../net/ip.js';
import { NetlinkProtocol } from '../netlink/constants.js';
import type { Message } from '../netlink/Message.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { type MessageListener, NetlinkChannel } from '../netlink/NetlinkChannel.js';

/** RTM_*. */
const NEW_ADDRESS = 20;
const DELETE_ADDRESS = 21;
const GET_ADDRESS = 22;
/** RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR. */
const GROUPS = [5, 9];
/** struct ifaddrmsg, bytes: u8 family, u8 prefix length, u8 flags, u8 scope, u32 interface. */
const HEADER = 8;
/** RT_SCOPE_LINK and RT_SCOPE_HOST are above; link-local addresses serve nobody beyond the link. */
const SCOPE_LINK = 253;
/** IFA_ADDRESS; IFA_LOCAL where the two ends of a link differ. */
const ADDRESS = 1;
const LOCAL = 2;

export class HostAddressWatch implements MessageListener {
  readonly #channel: NetlinkChannel;
  /** `interface address`, as one address may be on two interfaces. */
  #entries = new Map<string, IpAddress>();
  #addresses: readonly IpAddress[] | undefined;
  /** What keys of the link begin with that does not count. */
  #ignored: string | undefined;
  /** Called after a change. */
  onChange: (() => void) | undefined;

  /** Rejects with NetlinkError. */
  static async open(): Promise<HostAddressWatch> {
    const watch = new HostAddressWatch(NetlinkChannel.open(NetlinkProtocol.ROUTE));
    try {
      await watch.#read();
      return watch;
    } catch (error) {
      watch.close();
      throw error;
    }
  }

  private constructor(channel: NetlinkChannel) {
    this.#channel = channel;
    channel.listen(GROUPS, this);
  }

  /** Each once, loopback included, link-local ones left out. The same array until something changes. */
  get addresses(): readonly IpAddress[] {
    this.#addresses ??= [...new Set(this.#entries.values())];
    return this.#addresses;
  }

  /** From now on the addresses of the link with that index are not the host's own: kube-ipvs0 has those of Services. */
  ignoreLink(index: number): void {
    this.#ignored = `${linkKey(new Uint8Array(Uint32Array.of(index).buffer))} `;
    for (const key of this.#entries.keys()) if (key.startsWith(this.#ignored)) this.#entries.delete(key);
    this.#addresses = undefined;
  }

  close(): void {
    this.#channel.close();
  }

  message(message: Message): void {
    const before = this.addresses;
    if (message.type === NEW_ADDRESS || message.type === DELETE_ADDRESS) this.#take(message);
    else return;
    // Lifetimes are renewed again and again (RFC 4862), which changes nothing.
    if (before.length === this.addresses.length && before.every((ip) => this.addresses.includes(ip))) return;
    this.onChange?.();
  }

  /** Too many notices at once: everything is read again. */
  lost(): void {
    this.#read().then(
      () => this.onChange?.(),
      () => {
        // The channel was closed.
      },
    );
  }

  async #read(): Promise<void> {
    const writer = new MessageWriter(64);
    writer.beginMessage(GET_ADDRESS);
    for (let i = 0; i < HEADER / 4; i++) writer.putU32(0);
    writer.endMessage();
    const messages = await this.#channel.dump('list the addresses of this host', writer);
    this.#entries = new Map();
    for (const message of messages) this.#take(message);
  }

  #take(message: Message): void {
    const { payload } = message;
    if (payload.length < HEADER || payload[3] === SCOPE_LINK) return;
    let address: Uint8Array | undefined;
    const attributes = message.attributes(HEADER);
    while (attributes.next()) {
      if (attributes.type === LOCAL || (attributes.type === ADDRESS && address === undefined)) {
        address = attributes.bytes();
      }
    }
    if (address?.length !== 4 && address?.length !== 16) return;
    const ip = bytesToIp(address);
    const key = `${linkKey(payload.subarray(4, HEADER))} ${ip}`;
    if (this.#ignored !== undefined && key.startsWith(this.#ignored)) return;
    if (message.type === DELETE_ADDRESS) this.#entries.delete(key);
    else this.#entries.set(key, ip);
    this.#addresses = undefined;
  }
}

/** From the four bytes of a link's index, in the order of the host. */
function linkKey(index: Uint8Array): string {
  return index.join('.');
}

/** The interfaces of this machine with their addresses and prefixes, kept up to date by the kernel's own notices (rtnetlink). */
import { bytesToIp, type Cidr, type IpAddress, parseCidr } from '../../net/ip.js';
import { NetlinkProtocol } from '../netlink/constants.js';
import type { Message } from '../netlink/Message.js';
import { MessageWriter } from '../netlink/MessageWriter.js';
import { type MessageListener, NetlinkChannel } from '../netlink/NetlinkChannel.js';
import {
  ADDRESS_HEADER,
  AddressAttribute,
  LINK_HEADER,
  LinkAttribute,
  MessageType,
  UP,
} from './constants.js';

export interface InterfaceAddress {
  readonly address: IpAddress;
  /** The network that the address is in: `192.0.2.0/24`. */
  readonly network: Cidr;
  readonly isLinkLocal: boolean;
}

export interface NetworkInterface {
  readonly index: number;
  readonly name: string;
  /** 6 bytes; undefined for what is no Ethernet. */
  readonly mac: Uint8Array | undefined;
  readonly isUp: boolean;
  readonly isLoopback: boolean;
  readonly addresses: readonly InterfaceAddress[];
}

interface Entry {
  link: Omit<NetworkInterface, 'addresses'> | undefined;
  readonly addresses: Map<string, InterfaceAddress>;
}

/** RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR. */
const GROUPS = [1, 5, 9];
/** IFLA_ADDRESS. */
const LINK_ADDRESS = 1;
/** IFF_LOOPBACK. */
const LOOPBACK = 8;
/** ARPHRD_ETHER. */
const ETHERNET = 1;
/** RT_SCOPE_LINK. */
const SCOPE_LINK = 253;
/** IFA_F_TENTATIVE | IFA_F_DADFAILED: nobody may use it yet, or at all. */
const UNUSABLE = 0x40 | 0x08;

export class InterfaceWatch implements MessageListener {
  readonly #channel: NetlinkChannel;
  #entries = new Map<number, Entry>();
  #last = '';
  /** Called after a change. */
  onChange: (() => void) | undefined;

  /** Rejects with NetlinkError. */
  static async open(): Promise<InterfaceWatch> {
    const watch = new InterfaceWatch(NetlinkChannel.open(NetlinkProtocol.ROUTE));
    try {
      await watch.#read();
      watch.#last = JSON.stringify(watch.interfaces());
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

  interfaces(): readonly NetworkInterface[] {
    return [...this.#entries.values()].flatMap(({ link, addresses }) =>
      link ? [{ ...link, addresses: [...addresses.values()] }] : [],
    );
  }

  close(): void {
    this.#channel.close();
  }

  message(message: Message): void {
    this.#take(message);
    this.#tell();
  }

  /** Too many notices at once: everything is read again. */
  lost(): void {
    this.#read().then(
      () => this.#tell(),
      () => {
        // The channel was closed.
      },
    );
  }

  /** Counters and lifetimes are told again and again, which changes nothing. */
  #tell(): void {
    const text = JSON.stringify(this.interfaces());
    if (text === this.#last) return;
    this.#last = text;
    this.onChange?.();
  }

  async #read(): Promise<void> {
    const links = new MessageWriter(64);
    links.beginMessage(MessageType.GET_LINK);
    for (let i = 0; i < LINK_HEADER / 4; i++) links.putU32(0);
    links.endMessage();
    const addresses = new MessageWriter(64);
    addresses.beginMessage(MessageType.GET_ADDRESS);
    for (let i = 0; i < ADDRESS_HEADER / 4; i++) addresses.putU32(0);
    addresses.endMessage();
    const messages = [
      ...(await this.#channel.dump('list the interfaces of this host', links)),
      ...(await this.#channel.dump('list the addresses of this host', addresses)),
    ];
    this.#entries = new Map();
    for (const message of messages) this.#take(message);
  }

  #take(message: Message): void {
    if (message.type === MessageType.NEW_LINK || message.type === MessageType.DELETE_LINK)
      this.#takeLink(message);
    else if (message.type === MessageType.NEW_ADDRESS || message.type === MessageType.DELETE_ADDRESS)
      this.#takeAddress(message);
  }

  #takeLink(message: Message): void {
    const header = message.payload.slice(0, LINK_HEADER);
    // A bridge tells of its ports in the same group (AF_BRIDGE).
    if (header.length < LINK_HEADER || header[0] !== 0) return;
    const [, index = 0, flags = 0] = new Uint32Array(header.buffer);
    const [, type] = new Uint16Array(header.buffer);
    if (message.type === MessageType.DELETE_LINK) {
      this.#entries.delete(index);
      return;
    }
    let name = '';
    let mac: Uint8Array | undefined;
    const attributes = message.attributes(LINK_HEADER);
    while (attributes.next()) {
      if (attributes.type === LinkAttribute.NAME) name = attributes.string();
      else if (attributes.type === LINK_ADDRESS) mac = attributes.bytes().slice();
    }
    const isEthernet = type === ETHERNET && mac?.length === 6;
    this.#entryOf(index).link = {
      index,
      name,
      mac: isEthernet ? mac : undefined,
      isUp: (flags & UP) !== 0,
      isLoopback: (flags & LOOPBACK) !== 0,
    };
  }

  #takeAddress(message: Message): void {
    const header = message.payload.slice(0, ADDRESS_HEADER);
    if (header.length < ADDRESS_HEADER) return;
    const [, index = 0] = new Uint32Array(header.buffer);
    const [, prefix = 0, flags = 0, scope = 0] = header;
    let bytes: Uint8Array | undefined;
    const attributes = message.attributes(ADDRESS_HEADER);
    while (attributes.next()) {
      if (
        attributes.type === AddressAttribute.LOCAL ||
        (attributes.type === AddressAttribute.ADDRESS && !bytes)
      )
        bytes = attributes.bytes();
    }
    if (bytes?.length !== 4 && bytes?.length !== 16) return;
    const address = bytesToIp(bytes);
    const network = parseCidr(`${address}/${prefix}`);
    const { addresses } = this.#entryOf(index);
    if (message.type === MessageType.DELETE_ADDRESS || network === undefined || (flags & UNUSABLE) !== 0)
      addresses.delete(address);
    else addresses.set(address, { address, network, isLinkLocal: scope === SCOPE_LINK });
  }

  /** Of an address whose link is told of later, too. */
  #entryOf(index: number): Entry {
    const entry = this.#entries.get(index) ?? { link: undefined, addresses: new Map() };
    this.#entries.set(index, entry);
    return entry;
  }
}

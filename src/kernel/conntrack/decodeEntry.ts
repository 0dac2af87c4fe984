/**
 * Reads conntrack entries out of the kernel's messages. A dump holds up to hundreds of thousands of them, so nothing
 * is allocated but the result: no AttributeReader for each nest, and each address becomes a string once a dump.
 */
import { bytesToIp, type IpAddress, type IpFamily } from '../../net/ip.js';
import { ATTRIBUTE_HEADER, ATTRIBUTE_TYPE_MASK, NETFILTER_HEADER } from '../netlink/constants.js';
import { HOST_IS_LITTLE_ENDIAN } from '../netlink/hostOrder.js';
import type { ConntrackEntry, ConntrackTuple } from './ConntrackEntry.js';
import {
  COUNTED_BYTES,
  EntryAttribute,
  IpAttribute,
  ProtocolAttribute,
  TCP_INFO,
  TCP_STATE,
  TupleAttribute,
} from './constants.js';

const ABSENT = -1;

export class EntryDecoder {
  readonly #addresses4 = new Map<number, IpAddress>();
  /** By their 16 bytes, a character each. */
  readonly #addresses6 = new Map<string, IpAddress>();
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));

  /**
   * `payload` is that of an IPCTNL_MSG_CT_NEW. Undefined for a connection without ports (ICMP, GRE), and for bytes
   * that make no sense; never throws.
   */
  decode(payload: Uint8Array): ConntrackEntry | undefined {
    this.#bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    this.#view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const original = this.#tuple(this.#find(NETFILTER_HEADER, payload.length, EntryAttribute.TUPLE_ORIGINAL));
    const reply = this.#tuple(this.#find(NETFILTER_HEADER, payload.length, EntryAttribute.TUPLE_REPLY));
    const status = this.#find(NETFILTER_HEADER, payload.length, EntryAttribute.STATUS);
    const id = this.#find(NETFILTER_HEADER, payload.length, EntryAttribute.ID);
    if (original === undefined || reply === undefined) return undefined;
    if (!this.#has(status, 4) || !this.#has(id, 4)) return undefined;
    return {
      original,
      reply,
      status: this.#view.getUint32(status + ATTRIBUTE_HEADER),
      id: this.#view.getUint32(id + ATTRIBUTE_HEADER),
      zone: this.#zone(),
      tcpState: this.#tcpState(),
      bytes: this.#byteCount(),
    };
  }

  #tuple(tuple: number): ConntrackTuple | undefined {
    const ip = this.#inside(tuple, TupleAttribute.IP);
    const protocol = this.#inside(tuple, TupleAttribute.PROTOCOL);
    const number = this.#inside(protocol, ProtocolAttribute.NUMBER);
    const sourcePort = this.#inside(protocol, ProtocolAttribute.SOURCE_PORT);
    const destinationPort = this.#inside(protocol, ProtocolAttribute.DESTINATION_PORT);
    if (!this.#has(number, 1) || !this.#has(sourcePort, 2) || !this.#has(destinationPort, 2))
      return undefined;
    const v4Source = this.#inside(ip, IpAttribute.V4_SOURCE);
    const family: IpFamily = v4Source === ABSENT ? 'IPv6' : 'IPv4';
    const source = v4Source === ABSENT ? this.#inside(ip, IpAttribute.V6_SOURCE) : v4Source;
    const destination = this.#inside(
      ip,
      family === 'IPv4' ? IpAttribute.V4_DESTINATION : IpAttribute.V6_DESTINATION,
    );
    const size = family === 'IPv4' ? 4 : 16;
    if (!this.#has(source, size) || !this.#has(destination, size)) return undefined;
    return {
      family,
      protocol: this.#view.getUint8(number + ATTRIBUTE_HEADER),
      source: this.#address(source, family),
      destination: this.#address(destination, family),
      sourcePort: this.#view.getUint16(sourcePort + ATTRIBUTE_HEADER),
      destinationPort: this.#view.getUint16(destinationPort + ATTRIBUTE_HEADER),
    };
  }

  #address(place: number, family: IpFamily): IpAddress {
    const at = place + ATTRIBUTE_HEADER;
    if (family === 'IPv4') {
      const number = this.#view.getUint32(at);
      const known = this.#addresses4.get(number);
      if (known !== undefined) return known;
      const address = bytesToIp(this.#bytes.subarray(at, at + 4));
      this.#addresses4.set(number, address);
      return address;
    }
    const key = this.#bytes.toString('latin1', at, at + 16);
    const known = this.#addresses6.get(key);
    if (known !== undefined) return known;
    const address = bytesToIp(this.#bytes.subarray(at, at + 16));
    this.#addresses6.set(key, address);
    return address;
  }

  /** CTA_ZONE is for both directions; a zone of one direction stands inside that direction's tuple. */
  #zone(): number {
    const end = this.#bytes.length;
    for (const zone of [
      this.#find(NETFILTER_HEADER, end, EntryAttribute.ZONE),
      this.#inside(this.#find(NETFILTER_HEADER, end, EntryAttribute.TUPLE_ORIGINAL), TupleAttribute.ZONE),
      this.#inside(this.#find(NETFILTER_HEADER, end, EntryAttribute.TUPLE_REPLY), TupleAttribute.ZONE),
    ]) {
      if (this.#has(zone, 2)) return this.#view.getUint16(zone + ATTRIBUTE_HEADER);
    }
    return 0;
  }

  #tcpState(): number | undefined {
    const info = this.#find(NETFILTER_HEADER, this.#bytes.length, EntryAttribute.PROTOCOL_INFO);
    const state = this.#inside(this.#inside(info, TCP_INFO), TCP_STATE);
    return this.#has(state, 1) ? this.#view.getUint8(state + ATTRIBUTE_HEADER) : undefined;
  }

  #byteCount(): number | undefined {
    const end = this.#bytes.length;
    let sum: number | undefined;
    for (const type of [EntryAttribute.COUNTERS_ORIGINAL, EntryAttribute.COUNTERS_REPLY]) {
      const counted = this.#inside(this.#find(NETFILTER_HEADER, end, type), COUNTED_BYTES);
      if (!this.#has(counted, 8)) continue;
      const at = counted + ATTRIBUTE_HEADER;
      sum = (sum ?? 0) + this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4);
    }
    return sum;
  }

  /** Whether the attribute at `place` is there and has so many bytes of content. */
  #has(place: number, size: number): boolean {
    return place !== ABSENT && this.#length(place) === ATTRIBUTE_HEADER + size;
  }

  #inside(nest: number, type: number): number {
    if (nest === ABSENT) return ABSENT;
    return this.#find(nest + ATTRIBUTE_HEADER, nest + this.#length(nest), type);
  }

  /** Where the first attribute of that type begins; ABSENT when there is none before the first malformed one. */
  #find(start: number, end: number, type: number): number {
    for (let at = start; at + ATTRIBUTE_HEADER <= end; ) {
      const length = this.#length(at);
      if (length < ATTRIBUTE_HEADER || at + length > end) return ABSENT;
      if ((this.#view.getUint16(at + 2, HOST_IS_LITTLE_ENDIAN) & ATTRIBUTE_TYPE_MASK) === type) return at;
      at += (length + 3) & ~3;
    }
    return ABSENT;
  }

  #length(place: number): number {
    return this.#view.getUint16(place, HOST_IS_LITTLE_ENDIAN);
  }
}

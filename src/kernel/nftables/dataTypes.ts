/**
 * The data types of nft that keys and values are made of. The kernel knows only lengths; the numbers tell `nft list`
 * how to print them (include/datatype.h of nftables).
 *
 * Keys and values are binary strings, one character a byte: they are compared, used as map keys and written often.
 */
import { bytesToIp, type IpAddress, ipToBytes, ipv4Number } from '../../net/ip.js';
import { HOST_IS_LITTLE_ENDIAN } from '../netlink/hostOrder.js';

export interface DataType {
  readonly name: string;
  /** TYPE_* of nftables. */
  readonly id: number;
  /** Bytes without padding. */
  readonly bytes: number;
  /** As nft prints it; `value` has `bytes` characters. */
  readonly print: (value: string) => string;
}

const printIp = (value: string) => bytesToIp(Uint8Array.from(value, (c) => c.charCodeAt(0)));
const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  58: 'ipv6-icmp',
  132: 'sctp',
};

export const IPV4_ADDRESS: DataType = { name: 'ipv4_addr', id: 7, bytes: 4, print: printIp };
export const IPV6_ADDRESS: DataType = { name: 'ipv6_addr', id: 8, bytes: 16, print: printIp };
export const INET_PROTOCOL: DataType = {
  name: 'inet_proto',
  id: 12,
  bytes: 1,
  print: (value) => PROTOCOL_NAMES[value.charCodeAt(0)] ?? String(value.charCodeAt(0)),
};
export const INET_SERVICE: DataType = {
  name: 'inet_service',
  id: 13,
  bytes: 2,
  print: (value) => String(value.charCodeAt(0) * 256 + value.charCodeAt(1)),
};
/** A number of numgen or a hash, in host byte order. nft has no name for it: sets with one are declared with typeof. */
export const INDEX: DataType = {
  name: 'integer',
  id: 4,
  bytes: 4,
  print: (value) => String(readIndex(value)),
};
/** A packet's mark, in host byte order. */
export const MARK: DataType = {
  name: 'mark',
  id: 19,
  bytes: 4,
  print: (value) => `0x${readIndex(value).toString(16).padStart(8, '0')}`,
};
/** A name of at most 15 characters, with zeros up to 16 bytes (IFNAMSIZ). */
export const NAME: DataType = {
  name: 'ifname',
  id: 41,
  bytes: 16,
  print: (value) => JSON.stringify(value.replaceAll('\0', '')),
};

const BITS_PER_TYPE = 6;

/** The number of a concatenation: 6 bits a type. */
export function concatenatedId(types: readonly DataType[]): number {
  return types.reduce((id, type) => (id << BITS_PER_TYPE) | type.id, 0);
}

/** Bytes in the kernel's registers, where each field begins at a multiple of 4. */
export function paddedBytes(types: readonly DataType[]): number {
  return types.length === 1
    ? (types[0]?.bytes ?? 0)
    : types.reduce((sum, { bytes }) => sum + ((bytes + 3) & ~3), 0);
}

/** `10.96.0.1 . tcp . 80` */
export function printConcatenation(types: readonly DataType[], value: string): string {
  let at = 0;
  const words = types.map((type) => {
    const word = type.print(value.slice(at, at + type.bytes));
    at += (type.bytes + 3) & ~3;
    return word;
  });
  return words.join(' . ');
}

/** A value of type NAME. */
export function nameKey(name: string): string {
  return name.slice(0, NAME.bytes - 1).padEnd(NAME.bytes, '\0');
}

/** 4 or 16 characters. */
export function ipKey(address: IpAddress): string {
  const v4 = ipv4Number(address);
  // Most are of IPv4, and tables have 100,000.
  return v4 === undefined
    ? String.fromCharCode(...ipToBytes(address))
    : String.fromCharCode(v4 >>> 24, (v4 >>> 16) & 255, (v4 >>> 8) & 255, v4 & 255);
}

/** `value` as a padded field of two bytes in network order. */
export function portKey(port: number): string {
  return String.fromCharCode(port >> 8, port & 255, 0, 0);
}

/** A padded field of one byte. */
export function protocolKey(number: number): string {
  return String.fromCharCode(number, 0, 0, 0);
}

/** 4 characters in host byte order. */
export function indexKey(value: number): string {
  const [a, b, c, d] = [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  return HOST_IS_LITTLE_ENDIAN ? String.fromCharCode(d, c, b, a) : String.fromCharCode(a, b, c, d);
}

function readIndex(value: string): number {
  const bytes = [0, 1, 2, 3].map((i) => value.charCodeAt(HOST_IS_LITTLE_ENDIAN ? 3 - i : i));
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

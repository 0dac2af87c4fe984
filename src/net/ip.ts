/**
 * IP addresses and CIDRs as canonical strings.
 *
 * Everywhere above this file an address is a canonical string: `10.0.0.1`, `fd00::1` (RFC 5952). Canonical
 * means that two equal addresses are equal strings, so addresses can be map keys.
 * Parsing is the "sloppy" kind of Kubernetes: IPv4 octets with leading zeros are read as decimal.
 */
export type IpFamily = 'IPv4' | 'IPv6';

export const IP_FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

/** A canonical address string. */
export type IpAddress = string & { readonly __brand: 'IpAddress' };

/** A canonical prefix, `10.0.0.0/8` or `fd00::/64`, host bits cleared. */
export type Cidr = string & { readonly __brand: 'Cidr' };

/** The family of a canonical address or prefix. */
export function familyOf(address: IpAddress | Cidr): IpFamily {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

/** The canonical form, or undefined when the text is no IP address. Zones (`%eth0`) are refused. */
export function parseIp(text: string): IpAddress | undefined {
  const v4 = parseIpv4(text);
  if (v4 !== undefined) return formatIpv4(v4);
  const bytes = text.includes(':') ? parseIpv6(text) : undefined;
  return bytes && formatIpv6(bytes);
}

/** The canonical form, or undefined when the text is no CIDR (`address/prefix length`). */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const ip = parseIp(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (ip === undefined || !/^\d{1,3}$/.test(lengthText)) return undefined;
  const length = Number(lengthText);
  const bytes = ipToBytes(ip);
  if (length > bytes.length * 8) return undefined;
  clearHostBits(bytes, length);
  return `${bytesToIp(bytes)}/${length}` as Cidr;
}

/** The prefix length of a canonical CIDR, in bits. */
export function prefixLength(cidr: Cidr): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

/** Whether the address is inside the prefix. False for addresses of the other family. */
export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  if (familyOf(cidr) !== familyOf(address)) return false;
  const bytes = ipToBytes(address);
  const length = prefixLength(cidr);
  clearHostBits(bytes, length);
  return bytesToIp(bytes) === cidr.slice(0, cidr.indexOf('/'));
}

/** 127.0.0.0/8 and ::1. */
export function isLoopback(address: IpAddress): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** The loopback address of each family. */
export const LOOPBACK: Readonly<Record<IpFamily, IpAddress>> = {
  IPv4: '127.0.0.1' as IpAddress,
  IPv6: '::1' as IpAddress,
};

/** 0.0.0.0 and ::, which stand for every address. */
export function isUnspecified(address: IpAddress): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function joinHostPort(address: IpAddress, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** An IPv4 address as an unsigned number of 32 bits; undefined for one of IPv6. The address must be canonical. */
export function ipv4Number(address: IpAddress): number | undefined {
  return parseIpv4(address);
}

/** 4 or 16 bytes in network order. The address must be canonical. */
export function ipToBytes(address: IpAddress): Uint8Array {
  const v4 = parseIpv4(address);
  if (v4 !== undefined) return Uint8Array.of(v4 >>> 24, (v4 >>> 16) & 255, (v4 >>> 8) & 255, v4 & 255);
  const bytes = parseIpv6(address);
  if (!bytes) throw new TypeError(`not a canonical IP address: ${address}`);
  return bytes;
}

/** The canonical string of 4 or 16 bytes in network order. */
export function bytesToIp(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) {
    const [a = 0, b = 0, c = 0, d = 0] = bytes;
    return formatIpv4(((a << 24) | (b << 16) | (c << 8) | d) >>> 0);
  }
  if (bytes.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  return formatIpv6(bytes);
}

function clearHostBits(bytes: Uint8Array, length: number): void {
  for (let i = 0; i < bytes.length; i++) {
    const kept = Math.min(8, Math.max(0, length - i * 8));
    bytes[i] = (bytes[i] ?? 0) & (0xff00 >> kept) & 0xff;
  }
}

/** The address as an unsigned 32-bit number, or undefined. */
function parseIpv4(text: string): number | undefined {
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 46) {
      if (octet < 0 || ++dots > 3) return undefined;
      value = value * 256 + octet;
      octet = -1;
    } else if (c >= 48 && c <= 57) {
      octet = (octet < 0 ? 0 : octet * 10) + (c - 48);
      if (octet > 255) return undefined;
    } else return undefined;
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : undefined;
}

function formatIpv4(value: number): IpAddress {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}` as IpAddress;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1] ?? '', true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const bytes = new Uint8Array(16);
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  for (let i = 0; i < 8; i++) {
    const group = all[i] ?? 0;
    bytes[i * 2] = group >> 8;
    bytes[i * 2 + 1] = group & 255;
  }
  return bytes;
}

/** The 16-bit groups of one side of `::`; a dotted IPv4 tail counts as two. */
function groups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const out: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (mayEndInIpv4 && i === parts.length - 1 && part.includes('.')) {
      const v4 = parseIpv4(part);
      if (v4 === undefined) return undefined;
      out.push(v4 >>> 16, v4 & 0xffff);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) out.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return out;
}

/** RFC 5952: lower case, the first longest run of two or more zero groups is `::`, IPv4-mapped dotted. */
function formatIpv6(bytes: Uint8Array): IpAddress {
  const group = (i: number) => ((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0);
  const mapped = bytes.subarray(0, 10).every((b) => b === 0) && group(5) === 0xffff;
  if (mapped) return `::ffff:${bytesToIp(bytes.slice(12))}` as IpAddress;
  let start = -1;
  let longest = 1;
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && group(j) === 0) j++;
    if (j - i > longest) {
      longest = j - i;
      start = i;
    }
    if (j > i) i = j;
  }
  const hex = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => group(from + i).toString(16)).join(':');
  return (start < 0 ? hex(0, 8) : `${hex(0, start)}::${hex(start + longest, 8)}`) as IpAddress;
}

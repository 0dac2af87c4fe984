/** Addresses from a first to a last one, both included; of one IP family. */
import {
  bytesToIp,
  familyOf,
  type IpAddress,
  type IpFamily,
  ipToBytes,
  parseCidr,
  parseIp,
} from '../../net/ip.js';

export interface AddressRange {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
  /** As it was written. */
  readonly text: string;
}

/** `192.0.2.0/24`, `192.0.2.10-192.0.2.20`, `192.0.2.7`; undefined when the text is none, or ends before it begins. */
export function parseRange(text: string): AddressRange | undefined {
  const trimmed = text.trim();
  const cidr = parseCidr(trimmed);
  if (cidr !== undefined) {
    const [prefix = '', length = ''] = cidr.split('/');
    const first = toNumber(prefix as IpAddress);
    const bits = familyOf(cidr) === 'IPv4' ? 32n : 128n;
    return {
      family: familyOf(cidr),
      first,
      last: first + (1n << (bits - BigInt(length))) - 1n,
      text: trimmed,
    };
  }
  const ends = trimmed.split('-').map((part) => parseIp(part.trim()));
  const [from, to] = [ends[0], ends.at(-1)];
  if (ends.length > 2 || from === undefined || to === undefined || familyOf(from) !== familyOf(to))
    return undefined;
  const range = { family: familyOf(from), first: toNumber(from), last: toNumber(to), text: trimmed };
  return range.first <= range.last ? range : undefined;
}

export function sizeOf({ first, last }: AddressRange): bigint {
  return last - first + 1n;
}

export function inRange({ family, first, last }: AddressRange, address: IpAddress): boolean {
  if (familyOf(address) !== family) return false;
  const number = toNumber(address);
  return number >= first && number <= last;
}

/** The addresses from `start` on, lazily: a range of IPv6 has no end that anybody would reach. */
export function* numberedAddresses(
  { family, last }: AddressRange,
  start: bigint,
): Generator<{ readonly address: IpAddress; readonly number: bigint }> {
  for (let number = start; number <= last; number++) yield { address: addressOf(family, number), number };
}

/** Ends in .0 or .255: some routers and hosts take such an address for a network's own. */
export function looksLikeNetwork(address: IpAddress): boolean {
  return /\.(0|255)$/.test(address);
}

/**
 * The subnet-router anycast address of a network (RFC 4291, 2.6.1): every node that forwards answers for it, as all nodes of a cluster do.
 * Networks are not known here: those of 64 bits, and what a CIDR of the pool looks like, unless it names one or two addresses (RFC 6164).
 */
export function isSubnetRouter({ family, first, last, text }: AddressRange, address: IpAddress): boolean {
  if (family === 'IPv4') return false;
  const isCidr = text.includes('/');
  if (isCidr && last - first < 2n) return false;
  const number = toNumber(address);
  return BigInt.asUintN(64, number) === 0n || (isCidr && number === first);
}

function toNumber(address: IpAddress): bigint {
  let number = 0n;
  for (const byte of ipToBytes(address)) number = (number << 8n) | BigInt(byte);
  return number;
}

export function addressOf(family: IpFamily, number: bigint): IpAddress {
  const bytes = new Uint8Array(family === 'IPv4' ? 4 : 16);
  let rest = number;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  return bytesToIp(bytes);
}

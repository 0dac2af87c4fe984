/** Parts of the records that threads of the addon read. */
import { type IpAddress, ipToBytes } from '../../net/ip.js';

export const ADDRESS_BYTES = 16;
export const PROTOCOL = { TCP: 6, UDP: 17, SCTP: 132 } as const;
export const FAMILY = { IPv4: 4, IPv6: 6 } as const;

export function bytes(...values: readonly number[]): Buffer {
  return Buffer.from(values);
}

export function u16(value: number): Buffer {
  const written = Buffer.alloc(2);
  written.writeUInt16LE(value);
  return written;
}

export function u32(value: number): Buffer {
  const written = Buffer.alloc(4);
  written.writeUInt32LE(value);
  return written;
}

/** Sixteen bytes; those of IPv4 come first. */
export function address(ip: IpAddress): Buffer {
  const written = Buffer.alloc(ADDRESS_BYTES);
  written.set(ipToBytes(ip));
  return written;
}

/** Byte order of this machine, as the `littleEndian` argument of DataView wants it. Netlink headers are in host order. */
import { endianness } from 'node:os';

export const HOST_IS_LITTLE_ENDIAN = endianness() === 'LE';

/** By the client's address alone, through slots or through the table of maglev.ts. */
import { type IpAddress, ipToBytes } from '../../net/ip.js';
import { murmur3 } from '../murmur3.js';
import { fromPlace } from './fromPlace.js';
import type { Pick } from './Moment.js';

/** `table` holds indexes of endpoints. */
export function sourceHash(table: ArrayLike<number>): Pick {
  return ({ eligible, client }) => fromPlace(table, eligible, clientHash(client) % table.length);
}

/** Of the 4 or 16 bytes of the address: 0 .. 2³²-1. */
function clientHash(client: IpAddress): number {
  return murmur3(String.fromCharCode(...ipToBytes(client)), 0);
}

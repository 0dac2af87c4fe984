/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): every node ranks all nodes for an address in the same way, without a word
 * between them. A node that comes takes only what it ranks first for; a node that goes leaves only its own.
 */
import { murmur3 } from '../../balancing/murmur3.js';
import { type IpAddress, ipToBytes } from '../../net/ip.js';

/** Negative when node `a` comes before node `b` for the address. native/announce/core.cc does the same on the wire. */
export function compareRank(address: IpAddress, a: string, b: string): number {
  const bytes = String.fromCharCode(...ipToBytes(address));
  for (const seed of [0, 1]) {
    const difference = murmur3(`${b}#${bytes}`, seed) - murmur3(`${a}#${bytes}`, seed);
    if (difference !== 0) return difference;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

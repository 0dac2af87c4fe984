/**
 * External policy Local needs two virtual servers for one VIP: clients outside get endpoints of this node, pods and the
 * node itself get all (as in the other modes). IPVS finds a virtual server by packet mark first, so the second one has
 * a mark instead of an address. It must be the whole mark, so that much is overwritten for such packets.
 */

/** These bits tell our marks from others: 0x7…, but for the bit that means "masquerade". */
export const CLUSTER_CLIENT_TAG = '0xf0000000';
const TAG = 0x7000_0000;
/** The low bits number the service ports. kubelet drops packets with bit 15, bit 14 is the usual one to masquerade. */
const NUMBER_BITS = 14;

/** How many service ports of a family can have such a virtual server. */
export const MOST_MARKS = 1 << (NUMBER_BITS - 1);

/** `0x70000000` */
export function tagOf(masqueradeMark: number): string {
  return `0x${((TAG & ~masqueradeMark) >>> 0).toString(16)}`;
}

/** The mark of number 0 to MOST_MARKS - 1. It never has the bit to masquerade. */
export function markOf(number: number, masqueradeMark: number): number {
  // The number without the one bit that is taken: what stands at or above it moves up by one.
  const low = masqueradeMark < 1 << NUMBER_BITS ? number & (masqueradeMark - 1) : number;
  const high = masqueradeMark < 1 << NUMBER_BITS ? (number & ~(masqueradeMark - 1)) << 1 : 0;
  return ((TAG & ~masqueradeMark) | high | low) >>> 0;
}

/** The number of a mark of ours; undefined for any other. */
export function numberOf(mark: number, masqueradeMark: number): number | undefined {
  const number = mark & ((1 << NUMBER_BITS) - 1);
  const low = masqueradeMark < 1 << NUMBER_BITS ? number & (masqueradeMark - 1) : number;
  const high = masqueradeMark < 1 << NUMBER_BITS ? (number >>> 1) & ~(masqueradeMark - 1) : 0;
  const found = high | low;
  return found < MOST_MARKS && markOf(found, masqueradeMark) === mark >>> 0 ? found : undefined;
}

/**
 * How many indexes the endpoints of a service port get. To change that number is dear (the kernel walks all Services), so
 * it stays while endpoints come and go, as long as more than half of the indexes are filled.
 */

/** `previous` undefined or 0: there was none before. `wanted`: how many endpoints there are, counted by weight. */
export function slotCount(previous: number | undefined, wanted: number): number {
  if (!previous || wanted > previous) return Math.max(wanted, 1);
  return wanted > 0 && wanted * 4 <= previous ? wanted : previous;
}

/** How many indexes are filled: each endpoint as often as fits, all equally often. More than half of `slots`. */
export function filledSlots(slots: number, wanted: number): number {
  return wanted === 0 ? 0 : Math.floor(slots / wanted) * wanted;
}

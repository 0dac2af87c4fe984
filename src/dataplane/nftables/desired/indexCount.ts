/**
 * How many indexes a list of endpoints is drawn from: a power of two, so that a few chains serve every list, and the number of
 * indexes stays while endpoints come and go. More than half of them lead to an endpoint.
 */

/** Indexes of round robin at least, so that lists that grow from one endpoint to a few need no other chain. */
const LEAST_TURNS = 8;

/** `wanted`: how many endpoints there are, counted by weight. */
export function indexCount(wanted: number): number {
  let count = 1;
  while (count < wanted) count *= 2;
  return count;
}

export function turnCount(wanted: number): number {
  return Math.max(indexCount(wanted), LEAST_TURNS);
}

/**
 * The turns that are filled, each endpoint equally often, in order. They are spread so that never two turns in a row are empty:
 * whoever draws an empty one finds an endpoint with the next.
 */
export function filledTurns(count: number, wanted: number): readonly number[] {
  const filled = wanted === 0 ? 0 : Math.floor(count / wanted) * wanted;
  return Array.from({ length: filled }, (_, i) => Math.floor((i * count) / filled));
}

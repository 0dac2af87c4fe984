/** The first who may be picked, from a place in a table on and around its end. `table` holds indexes of endpoints. */
export function fromPlace(
  table: ArrayLike<number>,
  eligible: readonly boolean[],
  place: number,
): number | undefined {
  for (let i = 0; i < table.length; i++) {
    const index = table[(place + i) % table.length] as number;
    if (eligible[index]) return index;
  }
  return undefined;
}

/** Characters of `namespace/service`. Longer names are no slips of the pen, and comparing costs the square of the length. */
const LONGEST = 128;

/** "Did you mean": the known name that was probably intended, or undefined when none is near. */
export function nearestName(given: string, known: Iterable<string>): string | undefined {
  if (given.length > LONGEST) return undefined;
  let best: string | undefined;
  // Nearly every other name is near to one or two letters.
  let bestDistance = given.length < 3 ? 1 : Math.max(1, Math.floor(given.length / 4)) + 1;
  for (const name of known) {
    const distance = editDistance(given.toLowerCase(), name.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours from a to b; `limit` when there are at least that many. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let twoBack: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const steps = [
        (row[j - 1] ?? 0) + 1,
        (previous[j] ?? 0) + 1,
        (previous[j - 1] ?? 0) + (same ? 0 : 1),
        ...(a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? [(twoBack[j - 2] ?? 0) + 1] : []),
      ];
      row.push(Math.min(...steps));
    }
    // The swap of two neighbours looks two rows back.
    if (Math.min(...row, ...previous) >= limit) return limit;
    twoBack = previous;
    previous = row;
  }
  return Math.min(limit, previous[b.length] ?? limit);
}

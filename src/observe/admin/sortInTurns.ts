/** Sorts rows by key without holding up the event loop, however many there are. */
import type { TakesTurns } from '../metrics/WorkTurns.js';

interface Keyed {
  readonly key: string;
}

/** Rows that are sorted at once: less than a turn's work. */
const RUN = 1024;

/** Merges sorted runs. Rows of one key stay in their order. */
export async function sortInTurns<Row extends Keyed>(
  rows: readonly Row[],
  turns: TakesTurns,
): Promise<Row[]> {
  let runs: Row[][] = [];
  for (let at = 0; at < rows.length; at += RUN) {
    if (turns.isOver()) await turns.next();
    runs.push(rows.slice(at, at + RUN).sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)));
  }
  while (runs.length > 1) {
    const merged: Row[][] = [];
    for (let i = 0; i < runs.length; i += 2)
      merged.push(await merge(runs[i] as Row[], runs[i + 1] ?? [], turns));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<Row extends Keyed>(
  left: readonly Row[],
  right: readonly Row[],
  turns: TakesTurns,
): Promise<Row[]> {
  const rows: Row[] = [];
  let [l, r] = [0, 0];
  while (l < left.length || r < right.length) {
    if ((rows.length & 255) === 255 && turns.isOver()) await turns.next();
    const [first, second] = [left[l], right[r]];
    if (second === undefined || (first !== undefined && first.key <= second.key)) {
      rows.push(first as Row);
      l++;
    } else {
      rows.push(second);
      r++;
    }
  }
  return rows;
}

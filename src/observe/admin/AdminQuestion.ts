/** What a command asks the agent: a path of the first version, and its words. */
import { PenstockError } from '../../errors.js';

export class UnknownPath extends Error {}

/** Rows of one answer: a list is read in pages, so that no answer holds up the agent. */
const MOST_ROWS = 500;

export class AdminQuestion {
  /** `/v1/services` */
  readonly path: string;
  readonly #words: URLSearchParams;

  /** Throws PENSTOCK_WRONG_CALL for what is no path. */
  constructor(url: string) {
    if (!URL.canParse(url, 'http://agent')) throw new PenstockError('PENSTOCK_WRONG_CALL', 'that is no path');
    const { pathname, searchParams } = new URL(url, 'http://agent');
    this.path = pathname;
    this.#words = searchParams;
  }

  /** '' when absent. */
  word(name: string): string {
    return this.#words.get(name) ?? '';
  }

  /** The rows of a page: those after `after`, at most `limit`, and where the next page begins. `rows` must be sorted by `key`. */
  page<T>(
    rows: readonly T[],
    key: (row: T) => string,
  ): { readonly items: readonly T[]; readonly next: string } {
    const after = this.word('after');
    const start = after === '' ? 0 : firstAfter(rows, key, after);
    const asked = Math.trunc(Number(this.word('limit')));
    const most = asked >= 1 ? Math.min(MOST_ROWS, asked) : MOST_ROWS;
    const items = rows.slice(start, start + most);
    const last = items.at(-1);
    return { items, next: last !== undefined && start + most < rows.length ? key(last) : '' };
  }
}

/** The index of the first row whose key is greater; the length when there is none. */
function firstAfter<T>(rows: readonly T[], key: (row: T) => string, after: string): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const row = rows[middle] as T;
    if (key(row) > after) high = middle;
    else low = middle + 1;
  }
  return low;
}

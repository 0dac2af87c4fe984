/**
 * The rows of one list, made once for all pages of a reader: a table of N rows is not gone through N / 500 times, and what
 * changes meanwhile does not tear the list. Kept until the last page was read, or something else is asked for: one list at most.
 */
import type { AdminQuestion } from './AdminQuestion.js';

interface Page<Row> {
  readonly items: readonly Row[];
  /** '' on the last page. */
  readonly next: string;
}

export class PagedRows<Row extends { readonly key: string }> {
  readonly #make: (word: string) => Promise<readonly Row[]>;
  readonly #generation: () => number;
  #kept: { readonly word: string; readonly generation: number; readonly rows: readonly Row[] } | undefined;

  /** `make`: all rows for a word of the question, sorted by key. `generation`: of what they are made from. */
  constructor(make: (word: string) => Promise<readonly Row[]>, generation: () => number) {
    this.#make = make;
    this.#generation = generation;
  }

  async page(question: AdminQuestion, word = ''): Promise<Page<Row>> {
    const isFirst = question.word('after') === '';
    const generation = this.#generation();
    const kept = this.#kept;
    // A reader who goes on gets the list as it was when it began.
    const fits = kept !== undefined && kept.word === word && (!isFirst || kept.generation === generation);
    const now = fits ? kept : { word, generation, rows: await this.#make(word) };
    const page = question.page(now.rows, ({ key }) => key);
    this.#kept = page.next === '' ? undefined : now;
    return page;
  }

  forget(): void {
    this.#kept = undefined;
  }
}

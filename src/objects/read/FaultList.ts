/** What is wrong with one object, as sentences; long lists are cut, so that one object cannot flood the log. */
import { printable } from '../../net/printable.js';

const SHOWN = 10;

export class FaultList {
  readonly #sentences: string[] = [];
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Further sentences are counted, not shown. */
  get isFull(): boolean {
    return this.#sentences.length >= SHOWN;
  }

  add(sentence: string): void {
    this.#count++;
    if (!this.isFull) this.#sentences.push(sentence);
  }

  /** The first ten, and how many more there are. */
  sentences(): readonly string[] {
    const hidden = this.#count - this.#sentences.length;
    return hidden === 0 ? this.#sentences : [...this.#sentences, `and ${hidden} more`];
  }
}

/** A value for a message: JSON, hence one line, short, and nothing in it that a terminal would act on. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? printable(JSON.stringify(value.slice(0, 100))) : shortJson(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

function shortJson(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}

/**
 * The input of iptables-restore as a value: it can be printed, compared, and a line of it can be traced back to what
 * it was written for.
 */
export interface RestoreSegment {
  /** Whole lines, each with its newline; a function when they are made only as they are written. */
  readonly text: string | (() => string);
  /** Whom the lines are for: the key of a service port. Undefined: nobody in particular. */
  readonly owner: string | undefined;
}

export class RestoreInput {
  readonly #segments: RestoreSegment[] = [];

  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  get segments(): readonly RestoreSegment[] {
    return this.#segments;
  }

  /** The number of COMMIT lines. A COMMIT ends its segment, and that is no function. */
  get transactions(): number {
    return this.#segments.filter(({ text }) => typeof text === 'string' && text.endsWith('COMMIT\n')).length;
  }

  add(text: string | (() => string), owner?: string): void {
    if (text !== '') this.#segments.push({ text, owner });
  }

  append(other: RestoreInput): void {
    for (const segment of other.#segments) this.#segments.push(segment);
  }

  /** The segment that holds the line, and the line. `line` counts from 1 as iptables-restore does. */
  find(line: number): { segment: RestoreSegment; text: string } | undefined {
    let first = 1;
    for (const segment of this.#segments) {
      const lines = textOf(segment).split('\n');
      const next = first + lines.length - 1;
      if (line < next) return { segment, text: lines[line - first] ?? '' };
      first = next;
    }
    return undefined;
  }

  /** The text in pieces of about 64 KiB: what is piped into the tool, never one huge string. */
  *chunks(): Iterable<string> {
    let parts: string[] = [];
    let size = 0;
    for (const segment of this.#segments) {
      const text = textOf(segment);
      parts.push(text);
      size += text.length;
      if (size < 65_536) continue;
      yield parts.join('');
      parts = [];
      size = 0;
    }
    if (parts.length > 0) yield parts.join('');
  }

  toString(): string {
    return this.#segments.map(textOf).join('');
  }
}

function textOf({ text }: RestoreSegment): string {
  return typeof text === 'string' ? text : text();
}

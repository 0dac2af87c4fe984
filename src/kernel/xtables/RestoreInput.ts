/**
 * The input of iptables-restore as a value: it can be printed, compared, and a line of it can be traced back to what
 * it was written for.
 */
export interface RestoreSegment {
  /** Whole lines, each with its newline. */
  readonly text: string;
  /** Whom the lines are for: the key of a service port. Undefined: nobody in particular. */
  readonly owner: string | undefined;
}

export class RestoreInput {
  readonly #segments: RestoreSegment[] = [];
  #length = 0;

  /** In UTF-16 units, which for rules is bytes. */
  get length(): number {
    return this.#length;
  }

  get segments(): readonly RestoreSegment[] {
    return this.#segments;
  }

  /** The number of COMMIT lines. A COMMIT ends its segment. */
  get transactions(): number {
    return this.#segments.filter(({ text }) => text.endsWith('COMMIT\n')).length;
  }

  add(text: string, owner?: string): void {
    if (text === '') return;
    this.#segments.push({ text, owner });
    this.#length += text.length;
  }

  append(other: RestoreInput): void {
    for (const segment of other.#segments) this.#segments.push(segment);
    this.#length += other.#length;
  }

  /** The segment that holds the line, and the line. `line` counts from 1 as iptables-restore does. */
  find(line: number): { segment: RestoreSegment; text: string } | undefined {
    let first = 1;
    for (const segment of this.#segments) {
      const lines = segment.text.split('\n');
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
    for (const { text } of this.#segments) {
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
    return this.#segments.map((s) => s.text).join('');
  }
}

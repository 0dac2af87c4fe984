/** How commands that look print: JSON for programs, tables of 80 columns for people. Nothing of it acts on a terminal. */
import { printable, printableJson } from '../../net/printable.js';
import { WrongCall } from '../readArguments.js';

export type Format = 'text' | 'json';

/** The flag that every command here has. */
export const OUTPUT_FLAG = { output: { type: 'string', short: 'o' } } as const;

export function formatOf(text: string | undefined): Format {
  if (text === undefined || text === 'text') return 'text';
  if (text === 'json') return 'json';
  throw new WrongCall(`--output ${JSON.stringify(text)}: there are text and json`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(value, undefined, 2))}\n`);
}

export function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

type Colour = 'red' | 'green' | 'yellow' | 'bold' | 'dim';
const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33, bold: 1, dim: 2 };

/** Printable text, with a colour where standard output is a terminal that wants colours (https://no-color.org). */
export function colour(name: Colour, text: string): string {
  const wanted = process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  const shown = printable(text);
  return wanted ? `\u001b[${CODES[name]}m${shown}\u001b[0m` : shown;
}

export const WIDTH = 80;

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** What does not fit is cut with "…"; the widest column that may shrink does. */
  readonly shrinks?: boolean;
}

/** Rows of texts under their titles; no line is longer than the width unless columns cannot shrink. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  indent = '',
): string[] {
  const cells = rows.map((row) => row.map(printable));
  const widths = columns.map(({ title }, i) =>
    cells.reduce((widest, row) => Math.max(widest, (row[i] ?? '').length), title.length),
  );
  const total = () => indent.length + widths.reduce((sum, w) => sum + w, 0) + 2 * (columns.length - 1);
  for (let over = total() - WIDTH; over > 0; over = total() - WIDTH) {
    const widest = columns
      .map(({ shrinks }, i) => ({ i, width: shrinks ? (widths[i] ?? 0) : 0 }))
      .sort((a, b) => b.width - a.width)[0];
    if (!widest || widest.width <= 12) break;
    widths[widest.i] = Math.max(12, widest.width - over);
  }
  const line = (row: readonly string[]) =>
    (indent + columns.map(({ align }, i) => fit(row[i] ?? '', widths[i] ?? 0, align)).join('  ')).trimEnd();
  return [colour('bold', line(columns.map(({ title }) => title))), ...cells.map(line)];
}

function fit(text: string, width: number, align: Column['align']): string {
  const cut = text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;
  return align === 'right' ? cut.padStart(width) : cut.padEnd(width);
}

/** `name  text`, continued under the text where it is longer than the width. */
export function field(name: string, text: string, nameWidth = 12): string[] {
  return wrap(text, WIDTH - nameWidth - 2).map(
    (part, i) => `  ${(i === 0 ? name : '').padEnd(nameWidth)}${part}`,
  );
}

/** More of a text is cut off: it is a name or a message of somebody else. */
const LONGEST_TEXT = 4000;

/** Printable lines. A word that is longer than a line is broken. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  const shown = printable(text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text);
  const pieces = new RegExp(`[^]{1,${width}}`, 'gu');
  for (const word of shown.split(' ').flatMap((each) => each.match(pieces) ?? [''])) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/**
 * Text from outside on its way to a terminal or a log: object names, file names, what servers answered. What could move the
 * cursor, begin a line, turn the direction of writing or hide is shown as an escape.
 */

/**
 * Unicode's Cc (C0, DEL, C1), Cf (bidi controls, zero width, tags), Zl and Zp (line and paragraph separators), Cs (halves of
 * surrogate pairs).
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One line: `\n`, `\x1b`, `\u202e`, `\u{e0041}` stand for what a terminal must not get. All else is unchanged. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeOf);
}

/** As printable(), for text of several lines that are ours: line feeds stay. */
export function printableLines(text: string): string {
  return text.replace(UNPRINTABLE, (character) => (character === '\n' ? character : escapeOf(character)));
}

/** The same JSON text, in which no string holds anything unprintable: parsed, it is what it was. */
export function printableJson(json: string): string {
  return json.replace(UNPRINTABLE, (character) =>
    // Between its strings JSON has line feeds alone; within, they are escaped already.
    character === '\n' ? character : [...utf16(character)].map((unit) => `\\u${hex(unit, 4)}`).join(''),
  );
}

function escapeOf(character: string): string {
  const short = SHORT[character];
  if (short !== undefined) return short;
  const point = character.codePointAt(0) ?? 0;
  if (point <= 0xff) return `\\x${hex(point, 2)}`;
  return point <= 0xffff ? `\\u${hex(point, 4)}` : `\\u{${hex(point, 0)}}`;
}

function* utf16(character: string): Generator<number> {
  for (let i = 0; i < character.length; i++) yield character.charCodeAt(i);
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

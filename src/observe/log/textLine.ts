/** A record of pino as one line for people: `2026-11-22T10:00:00.000Z INFO  message  → remedy  key=value`. */
import { printable } from '../../net/printable.js';

/** ANSI: dim, and the colour of a level. */
const DIM = '\u001b[2m';
const COLOURS: Readonly<Record<string, string>> = {
  error: '\u001b[31m',
  fatal: '\u001b[31m',
  warn: '\u001b[33m',
  debug: DIM,
};
const PLAIN = '\u001b[0m';

/** `colours`: for a terminal. What is more than a word or a number is left to the JSON form. */
export function textLine(record: Readonly<Record<string, unknown>>, colours: 'colours' | 'plain'): string {
  const { time, level, msg, err, ...fields } = record;
  const error = err as { code?: unknown; remedy?: unknown } | undefined;
  const paint = (colour: string | undefined, text: string) =>
    colours === 'plain' || colour === undefined ? text : `${colour}${text}${PLAIN}`;
  const all = error?.code === undefined ? fields : { ...fields, code: error.code };
  const parts = Object.entries(all).flatMap(([key, value]) => {
    const text = shortText(value);
    return text === undefined ? [] : [paint(DIM, `${printable(key)}=${printable(text)}`)];
  });
  const name = String(level);
  const remedy = typeof error?.remedy === 'string' ? `  → ${printable(error.remedy)}` : '';
  const head = `${paint(DIM, String(time))} ${paint(COLOURS[name], name.toUpperCase().padEnd(5))}`;
  return `${[`${head} ${printable(String(msg ?? ''))}${remedy}`, ...parts].join('  ')}\n`;
}

function shortText(value: unknown): string | undefined {
  if (Array.isArray(value)) {
    const parts = value.map(shortText);
    return parts.includes(undefined) || Array.isArray(value[0]) ? undefined : parts.join(',');
  }
  return value === null || typeof value === 'object' ? undefined : String(value);
}

/**
 * Help texts as data: what manual pages and completions say is what --help says. A text begins with its synopsis; then come
 * paragraphs, one empty line apart. A line of a flag is indented and begins with it:
 *
 *       --mode MODE   remove only what this mode made
 *         and lines that go on
 */

import { MODES } from '../see/modelFlags.js';

/** What may follow a flag. A list: one of these words. */
export type FlagValue = 'nothing' | 'file' | 'word' | readonly string[];

export interface FlagHint {
  /** `--mode`, or `-o` where there is no long name. */
  readonly flag: string;
  /** `-h`. */
  readonly short: string | undefined;
  readonly value: FlagValue;
  /** One line; '' where only the synopsis names the flag. */
  readonly text: string;
}

export interface FlagLine {
  /** `-o, --output json`. */
  readonly head: string;
  readonly text: string;
}

export type HelpPart =
  | { readonly type: 'text'; readonly lines: readonly string[] }
  /** Indented, or a table: its lines stay lines. */
  | { readonly type: 'verbatim'; readonly lines: readonly string[] }
  | { readonly type: 'flags'; readonly flags: readonly FlagLine[] }
  | { readonly type: 'examples'; readonly lines: readonly string[] }
  | { readonly type: 'status'; readonly lines: readonly string[] };

export interface HelpText {
  readonly synopsis: string;
  readonly parts: readonly HelpPart[];
}

const FLAG_LINE = /^ {1,8}(?:--?[A-Za-z])/;
/** The head of a flag and what is said of it, two spaces or more apart. */
const HEAD_AND_TEXT = /^ *(\S.*?)(?: {2,}(.*))?$/;

export function readHelp(text: string): HelpText {
  const [synopsis = '', ...paragraphs] = text.trimEnd().split(/\n{2,}/);
  return {
    synopsis: synopsis.replace(/^Usage: /, ''),
    parts: paragraphs.flatMap((paragraph) => partsOf(paragraph.split('\n'))),
  };
}

function partsOf(lines: readonly string[]): readonly HelpPart[] {
  const parts: HelpPart[] = [];
  let rest = lines;
  while (rest.length > 0) {
    const [first = ''] = rest;
    const length = lengthOfPart(rest);
    const own = rest.slice(0, length);
    parts.push(partOf(first, own));
    rest = rest.slice(length);
  }
  return parts;
}

/** A paragraph may hold words and then flags, without an empty line between. */
function lengthOfPart(lines: readonly string[]): number {
  const isFlags = FLAG_LINE.test(lines[0] ?? '');
  const end = lines.findIndex((line, i) => i > 0 && (isFlags ? !line.startsWith(' ') : FLAG_LINE.test(line)));
  return end < 0 ? lines.length : end;
}

function partOf(first: string, lines: readonly string[]): HelpPart {
  if (FLAG_LINE.test(first)) return { type: 'flags', flags: flagLines(lines) };
  if (/^(?:The exit status|Exit status)/.test(first)) return { type: 'status', lines };
  if (lines.every((line) => line.startsWith('  ')) && lines.some((line) => /\bpenstock /.test(line))) {
    return { type: 'examples', lines: lines.map((line) => line.trim()) };
  }
  const isTable = lines.some((line) => line.startsWith(' ') || /\S {2,}\S/.test(line));
  return isTable ? { type: 'verbatim', lines } : { type: 'text', lines };
}

function flagLines(lines: readonly string[]): readonly FlagLine[] {
  const flags: { head: string; text: string }[] = [];
  for (const line of lines) {
    const last = flags.at(-1);
    if (FLAG_LINE.test(line) || last === undefined) {
      const [, head = '', text = ''] = HEAD_AND_TEXT.exec(line) ?? [];
      flags.push({ head, text });
    } else last.text = `${last.text} ${line.trim()}`.trim();
  }
  return flags;
}

/** Of a command, each once: those of its lines first, then those that only its synopsis names. */
export function flagsOf({ synopsis, parts }: HelpText): readonly FlagHint[] {
  const hints = new Map<string, FlagHint>([
    ['--help', { flag: '--help', short: '-h', value: 'nothing', text: 'Print the help and exit' }],
  ]);
  const add = (hint: FlagHint) => {
    if (!hints.has(hint.flag)) hints.set(hint.flag, hint);
  };
  for (const part of parts) {
    if (part.type === 'flags') for (const line of part.flags) add(hintOf(line));
  }
  const shorts = new Set([...hints.values()].map(({ short }) => short));
  for (const [, named = '', value = ''] of synopsis.matchAll(/(--?[a-z][a-z-]*)(?:[ =]([^\][ ]+))?/g)) {
    if (!shorts.has(named)) add({ flag: named, short: undefined, value: takenBy(value, ''), text: '' });
  }
  return [...hints.values()];
}

function hintOf({ head, text }: FlagLine): FlagHint {
  const [, short, long, value = ''] =
    /^(?:(-[A-Za-z])(?:, )?)?(--[A-Za-z][A-Za-z0-9-]*)?(?:[ =](.*?))?(?: \*)?$/.exec(head) ?? [];
  const flag = long ?? short ?? head;
  return {
    flag,
    short: long === undefined ? undefined : short,
    value: takenBy(value, text),
    text: text.trim(),
  };
}

function takenBy(value: string, text: string): FlagValue {
  const [word = ''] = value.split(' ');
  if (word === '' || word === '|' || word === '*') return 'nothing';
  const choices = /One of: ([^.]+)\./.exec(text)?.[1];
  if (choices !== undefined) return choices.split(', ');
  const words = word.split('|').flatMap((each) => (each === 'MODE' ? MODES : each));
  if (words.every((each) => /^[a-z]/.test(each))) return words;
  return /FILE|PATH|FOLDER|<text>/.test(word) ? 'file' : 'word';
}

/** The words that may come first, before any flag: `check` of `penstock config check FILE`. */
export function firstWords({ synopsis }: HelpText): readonly string[] {
  const words = /^penstock \S+ ([^[]*)/.exec(synopsis)?.[1] ?? '';
  return words
    .split('|')
    .map((each) => each.trim().split(' ')[0] ?? '')
    .filter((each) => /^[a-z]/.test(each));
}

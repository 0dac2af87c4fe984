/**
 * A command line → the values of flags, in kube-proxy's manner: `--name value`, `--name=value`, `--switch`,
 * `--switch=false`, `-v 4`, `-v4`. Lists, gates and vmodule add up when repeated; of other flags the last counts.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { nearestName } from '../../net/nearestName.js';
import { parseDuration } from '../../time/duration.js';
import { quote } from '../file/ConfigFault.js';
import { splitList } from '../file/validateConfiguration.js';
import { FLAGS, type Flag, type FlagType, flagLabel } from './flags.js';

export interface GivenFlag {
  readonly flag: Flag;
  readonly value: unknown;
}

export interface FlagFault {
  /** The known flag at fault; undefined for words that are no flag. */
  readonly flag: Flag | undefined;
  /** A whole sentence: `--oom-score-adj must be a whole number, not "x"`. */
  readonly message: string;
}

export interface ParsedFlags {
  readonly given: readonly GivenFlag[];
  readonly faults: readonly FlagFault[];
}

export function parseFlags(argv: readonly string[]): ParsedFlags {
  const byName = new Map(FLAGS.map((flag) => [flag.name, flag]));
  const texts = new Map<Flag, string[]>();
  const faults: FlagFault[] = [];
  const { tokens } = parseArgs({
    args: [...argv],
    options: parseArgsOptions(),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const unknownAt = new Set<number>();
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      const isValueOfUnknown = unknownAt.has(token.index - 1);
      if (token.value === '' || isValueOfUnknown) continue;
      faults.push({
        flag: undefined,
        message: `${quote(token.value)} is not a flag; arguments are not taken`,
      });
      continue;
    }
    const flag = byName.get(token.name);
    if (!flag) {
      if (!unknownAt.has(token.index)) faults.push({ flag, message: unknownFlag(token.rawName) });
      unknownAt.add(token.index);
    } else if (token.value === undefined && flag.type !== 'boolean') {
      faults.push({ flag, message: `${token.rawName} needs a value` });
    } else {
      // parseArgs leaves the "=" of `-v=4` in the value.
      const isShort = !token.rawName.startsWith('--');
      const text = isShort ? (token.value?.replace(/^=/, '') ?? 'true') : (token.value ?? 'true');
      texts.set(flag, [...(texts.get(flag) ?? []), text]);
    }
  }
  const given: GivenFlag[] = [];
  for (const [flag, parts] of texts) {
    if (meansUnset(flag.type, parts.at(-1) ?? '')) continue;
    const read = readValue(flag.type, parts);
    if ('value' in read) given.push({ flag, value: read.value });
    else faults.push({ flag, message: `${flagLabel(flag)} ${read.expected}, not ${quote(read.text)}` });
  }
  return { given, faults };
}

function parseArgsOptions(): NonNullable<ParseArgsConfig['options']> {
  return Object.fromEntries(
    FLAGS.map(({ name, short, type }) => [
      name,
      { type: type === 'boolean' ? ('boolean' as const) : ('string' as const), ...(short ? { short } : {}) },
    ]),
  );
}

/** What other commands and other proxies call it. */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ['mode', 'proxy-mode'],
  ['node', 'hostname-override'],
]);

function unknownFlag(rawName: string): string {
  const given = rawName.replace(/^-+/, '').replaceAll('_', '-');
  const names = FLAGS.map((flag) => flag.name);
  const near = OTHER_NAMES.get(given) ?? nearestName(given, names);
  return near
    ? `${rawName} is not a known flag; did you mean --${near}?`
    : `${rawName} is not a known flag; --help lists them`;
}

/** An empty text where it could name nothing: the flag counts as not given, as in kube-proxy. */
function meansUnset(type: FlagType, text: string): boolean {
  return (
    text === '' && (type === 'address' || type === 'name' || (typeof type === 'object' && !type.includes('')))
  );
}

type Read = { readonly value: unknown } | { readonly expected: string; readonly text: string };

function readValue(type: FlagType, texts: readonly string[]): Read {
  const text = texts.at(-1) ?? '';
  switch (type) {
    case 'text':
    case 'address':
    case 'name':
      return { value: text };
    case 'boolean':
      return orExpected(readBoolean(text), 'must be true or false', text);
    case 'integer':
      return orExpected(
        /^[-+]?\d{1,15}$/.test(text) ? Number(text) : undefined,
        'must be a whole number',
        text,
      );
    case 'number':
      return orExpected(
        /^[-+]?(\d+(\.\d*)?|\.\d+)$/.test(text) ? Number(text) : undefined,
        'must be a number',
        text,
      );
    case 'duration':
      return orExpected(parseDuration(text), 'must be a duration such as "30s", "250ms" or "1h0m0s"', text);
    case 'list':
      return { value: texts.filter((part) => part !== '').flatMap(splitList) };
    case 'gates':
      return readPairs(
        texts,
        readBoolean,
        'must be a list such as "Name=true,Other=false"',
        Object.fromEntries,
      );
    case 'vmodule':
      return readPairs(texts, readCount, 'must be a list such as "pattern=3,other=1"', (pairs) =>
        pairs.map(([filePattern, verbosity]) => ({ filePattern, verbosity })),
      );
    default:
      return type.includes(text)
        ? { value: text }
        : { expected: `must be one of ${type.map(quote).join(', ')}`, text };
  }
}

function orExpected(value: unknown, expected: string, text: string): Read {
  return value === undefined ? { expected, text } : { value };
}

function readPairs<T>(
  texts: readonly string[],
  read: (text: string) => T | undefined,
  expected: string,
  build: (pairs: [string, T][]) => unknown,
): Read {
  const pairs: [string, T][] = [];
  for (const part of texts.flatMap(splitList).filter((part) => part !== '')) {
    const [, name = '', text = ''] = /^([^=]+)=(.*)$/.exec(part) ?? [];
    const value = read(text.trim());
    if (name === '' || value === undefined) return { expected, text: part };
    pairs.push([name.trim(), value]);
  }
  return { value: build(pairs) };
}

/** The words of Go's strconv.ParseBool. */
function readBoolean(text: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
  return undefined;
}

function readCount(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

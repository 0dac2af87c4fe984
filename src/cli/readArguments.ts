/** Reads the flags and words of a command; every mistake is a WrongCall that names it, with the nearest flag there is. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { PenstockError } from '../errors.js';
import { nearestName } from '../net/nearestName.js';

type Options = NonNullable<ParseArgsConfig['options']>;

/** The call is wrong, not the world: one line, exit status 2. */
export class WrongCall extends PenstockError {
  constructor(message: string, remedy?: string) {
    super('PENSTOCK_WRONG_CALL', message, remedy === undefined ? {} : { remedy });
  }
}

export interface CommandLine<T extends Options> {
  readonly options: T;
  /** How many words may follow the flags: [least, most]. Without: none. */
  readonly words?: readonly [number, number];
  /** What the words are, for the message: `CLIENT VIP:PORT/PROTO`. */
  readonly wordsText?: string;
}

/** Throws WrongCall. `--help` needs no words. */
export function readArguments<const T extends Options>(argv: readonly string[], line: CommandLine<T>) {
  const options = { help: { type: 'boolean', short: 'h' }, ...line.options } as const;
  refuseUnknownFlags(argv, options);
  const parsed = (() => {
    try {
      return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
    } catch (error) {
      // The first sentence: what follows explains how to write a word that starts with a dash.
      const text = error instanceof Error ? (error.message.split(/[.\n]/)[0] ?? '') : String(error);
      throw new WrongCall(text);
    }
  })();
  const [least, most] = line.words ?? [0, 0];
  const { positionals } = parsed;
  const help = (parsed.values as { help?: boolean }).help === true;
  if (!help && positionals.length < least) {
    throw new WrongCall(`${line.wordsText ?? 'an argument'} is missing`, 'See --help.');
  }
  if (!help && positionals.length > most) {
    throw new WrongCall(`${JSON.stringify(positionals[most])} is one word too many`, 'See --help.');
  }
  return { values: parsed.values, words: positionals };
}

function refuseUnknownFlags(argv: readonly string[], options: Options): void {
  const names = Object.keys(options);
  const shorts = Object.values(options).map(({ short }) => short);
  for (const word of argv) {
    if (word === '--') return;
    const long = /^--([^=]+)/.exec(word)?.[1];
    if (long !== undefined && !names.includes(long)) {
      const near = nearestName(long, names);
      throw new WrongCall(
        `there is no flag --${long}`,
        near === undefined ? 'See --help.' : `Did you mean --${near}?`,
      );
    }
    const short = /^-([A-Za-z])/.exec(word)?.[1];
    if (short !== undefined && !shorts.includes(short)) {
      throw new WrongCall(`there is no flag -${short}`, 'See --help.');
    }
  }
}

/** Of --limit; undefined when it is not given. Throws WrongCall. */
export function readLimit(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,7}$/.test(text)) throw new WrongCall(`--limit ${JSON.stringify(text)} is no number`);
  return Number(text);
}

import type { CommandHelp } from './commandHelps.js';
import type { FlagHint } from './readHelp.js';

/** Lines of fish's `complete`. */
export function fishCompletion(commands: readonly CommandHelp[]): string {
  const lines = [
    '# fish completion of penstock, made by: penstock completion fish',
    'complete -c penstock -f',
    ...commands.map(
      ({ name, summary }) => `complete -c penstock -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
    ),
    `complete -c penstock -n __fish_use_subcommand -a help -d 'print what a command does'`,
    `complete -c penstock -n '__fish_seen_subcommand_from help' -a '${commands.map(({ name }) => name).join(' ')}'`,
    ...commands.flatMap(linesOf),
  ];
  return `${lines.join('\n')}\n`;
}

function linesOf({ name, flags, words }: CommandHelp): readonly string[] {
  const head = `complete -c penstock -n '__fish_seen_subcommand_from ${name}'`;
  return [
    ...(words.length > 0 ? [`${head} -a '${words.join(' ')}'`] : [`${head} -F`]),
    ...flags.map((hint) => `${head}${flagPart(hint)}`),
  ];
}

function flagPart({ flag, short, value, text }: FlagHint): string {
  const long = flag.startsWith('--') ? ` -l ${flag.slice(2)}` : ` -s ${flag.slice(1)}`;
  const also = short === undefined ? '' : ` -s ${short.slice(1)}`;
  return `${long}${also}${valuePart(value)}${text === '' ? '' : ` -d ${quoted(text)}`}`;
}

function valuePart(value: FlagHint['value']): string {
  if (value === 'nothing') return '';
  if (value === 'file') return ' -r -F';
  return value === 'word' ? ' -x' : ` -x -a '${value.join(' ')}'`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

import type { CommandHelp } from './commandHelps.js';
import type { FlagHint } from './readHelp.js';

/** A function for zsh's completion system (zshcompsys(1)): _arguments with a line for each flag. */
export function zshCompletion(commands: readonly CommandHelp[]): string {
  return `#compdef penstock
# zsh completion of penstock, made by: penstock completion zsh
_penstock() {
  local -a commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join('\n')}
    'help:print what a command does'
  )
  if ((CURRENT == 2)) || { ((CURRENT == 3)) && [[ $words[2] == help ]] }; then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${commands.map(caseOf).join('\n')}
  esac
}
if [[ $funcstack[1] == _penstock ]]; then
  _penstock "$@"
else
  compdef _penstock penstock
fi
`;
}

function caseOf({ name, flags, words }: CommandHelp): string {
  const lines = flags.flatMap(argumentsOf);
  const first = words.length > 0 ? [quoted(`1:word:(${words.join(' ')})`)] : [];
  return `    ${name})
      _arguments \\
${[...lines, ...first, quoted('*:word:_files')].map((line) => `        ${line}`).join(' \\\n')}
      ;;`;
}

function argumentsOf({ flag, short, value, text }: FlagHint): readonly string[] {
  const said = `[${text.replaceAll(/[[\]:\\]/g, ' ').trim()}]`;
  return [flag, ...(short === undefined ? [] : [short])].map((each) =>
    quoted(`${each}${said}${actionOf(value)}`),
  );
}

function actionOf(value: FlagHint['value']): string {
  if (value === 'nothing') return '';
  if (value === 'file') return ':file:_files';
  return value === 'word' ? ':word:' : `:word:(${value.join(' ')})`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

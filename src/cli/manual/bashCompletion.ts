import type { CommandHelp } from './commandHelps.js';
import type { FlagHint } from './readHelp.js';

/** A script for bash 4 and newer, with or without the package bash-completion. */
export function bashCompletion(commands: readonly CommandHelp[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  return `# bash completion of penstock, made by: penstock completion bash
_penstock() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} words=
  COMPREPLY=()
  if ((COMP_CWORD == 1)) || { ((COMP_CWORD == 2)) && [[ \${COMP_WORDS[1]} == help ]]; }; then
    COMPREPLY=($(compgen -W '${names} help' -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]} $before" in
${commands.flatMap(valueCases).join('\n')}
  esac
  case \${COMP_WORDS[1]} in
${commands.map((each) => `    ${each.name}) words='${wordsOf(each)}' ;;`).join('\n')}
  esac
  if [[ $current == -* ]] || { ((COMP_CWORD == 2)) && [[ -n $words ]]; }; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
  ((\${#COMPREPLY[@]})) || [[ $current == -* ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _penstock penstock
`;
}

function wordsOf({ words, flags }: CommandHelp): string {
  const named = flags.flatMap(({ flag, short }) => (short === undefined ? [flag] : [flag, short]));
  return [...words, ...named].join(' ');
}

function valueCases({ name, flags }: CommandHelp): readonly string[] {
  return flags.flatMap((hint) => {
    const reply = replyFor(hint);
    if (reply === undefined) return [];
    const patterns = [hint.flag, ...(hint.short === undefined ? [] : [hint.short])];
    return [`    ${patterns.map((flag) => `'${name} ${flag}'`).join(' | ')}) ${reply}; return ;;`];
  });
}

/** Undefined: nothing follows. */
function replyFor({ value }: FlagHint): string | undefined {
  if (value === 'nothing') return undefined;
  if (value === 'file') return 'COMPREPLY=($(compgen -f -- "$current"))';
  if (value === 'word') return ':';
  return `COMPREPLY=($(compgen -W '${value.join(' ')}' -- "$current"))`;
}

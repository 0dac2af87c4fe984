/** penstock completion bash|zsh|fish */
import type { Command } from '../Command.js';
import { readArguments, WrongCall } from '../readArguments.js';
import { bashCompletion } from './bashCompletion.js';
import { commandHelps } from './commandHelps.js';
import { fishCompletion } from './fishCompletion.js';
import { zshCompletion } from './zshCompletion.js';

export const HELP = `penstock completion bash|zsh|fish

Prints what a shell needs to complete commands, flags and their values.

  source <(penstock completion bash)
  penstock completion zsh >"\${fpath[1]}/_penstock"
  penstock completion fish >~/.config/fish/completions/penstock.fish
`;

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export async function completion(
  argv: readonly string[],
  commands: Readonly<Record<string, Command>>,
): Promise<number> {
  const { values, words } = readArguments(argv, { options: {}, words: [1, 1], wordsText: 'bash|zsh|fish' });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const [shell = ''] = words;
  if (!Object.hasOwn(SHELLS, shell)) {
    throw new WrongCall(`there is no completion for ${JSON.stringify(shell)}`, 'Name bash, zsh or fish.');
  }
  process.stdout.write(SHELLS[shell as keyof typeof SHELLS](await commandHelps(commands)));
  return 0;
}

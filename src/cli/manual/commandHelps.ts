/** Every command with its help, read. */
import type { Command, CommandGroup } from '../Command.js';
import { type FlagHint, firstWords, flagsOf, type HelpText, readHelp } from './readHelp.js';

export interface CommandHelp {
  readonly name: string;
  readonly summary: string;
  readonly group: CommandGroup;
  readonly help: HelpText;
  readonly flags: readonly FlagHint[];
  /** That may come first: `check` of `penstock config`. */
  readonly words: readonly string[];
}

export function commandHelps(commands: Readonly<Record<string, Command>>): Promise<readonly CommandHelp[]> {
  return Promise.all(
    Object.entries(commands).map(async ([name, { summary, group, help }]) => {
      const read = readHelp(await help());
      return { name, summary, group, help: read, flags: flagsOf(read), words: firstWords(read) };
    }),
  );
}

/** What a command is. Commands are loaded when they are called: what a run does not need costs it no memory. */
export interface Command {
  /** One line for `penstock help`; starts with a verb. */
  readonly summary: string;
  readonly group: CommandGroup;
  /**
   * The exit status when the command throws: 1 for commands that do something, 2 ("could not look") for those that look.
   * A wrong call (WrongCall) always ends with 2.
   */
  readonly failure: 1 | 2;
  /** Resolves with the exit status. */
  readonly load: () => Promise<(argv: readonly string[]) => Promise<number>>;
  /** What --help prints. Manual pages and completions are made of it. */
  readonly help: () => Promise<string>;
}

/** The order in which `penstock help` shows them. */
export const COMMAND_GROUPS = ['Serve', 'See', 'Replace and return', 'Balance', 'Host'] as const;
export type CommandGroup = (typeof COMMAND_GROUPS)[number];

/** argv → command. */
import { COMMAND_GROUPS, type Command } from './cli/Command.js';
import { COMMANDS } from './cli/commands.js';
import { nameProcess } from './cli/nameProcess.js';
import { messageOf, messageWithRemedy, PenstockError } from './errors.js';
import { nearestName } from './net/nearestName.js';
import { printableLines } from './net/printable.js';

const LINE_BREAK = /[\n\v\f\r\u0085\u2028\u2029]/;
/** What Node.js has in the place of bytes that are no UTF-8: which file was meant is lost. */
const NO_UTF8 = '\ufffd';
/** The flags of a command, or the files that they name, are of no use: exit status 2, whichever command it is. */
const BAD_INPUT: ReadonlySet<unknown> = new Set([
  'PENSTOCK_WRONG_CALL',
  'PENSTOCK_CONFIG_INVALID',
  'PENSTOCK_CONFIG_UNREADABLE',
  'PENSTOCK_KUBECONFIG_UNUSABLE',
  'PENSTOCK_MANIFESTS_MISSING',
  'PENSTOCK_MANIFESTS_NONE',
  'PENSTOCK_MANIFESTS_UNREADABLE',
  'PENSTOCK_MASTER_INVALID',
  'PENSTOCK_NO_SOURCE',
]);

/** Never rejects: what goes wrong is said on standard error and told by the exit status (2: bad input). */
export async function main(argv: readonly string[]): Promise<void> {
  nameProcess(argv);
  const [name, ...rest] = resolveHelp(argv);
  endWhenNobodyReads(name);
  if (name === undefined) {
    process.stdout.write(usage());
    return;
  }
  const broken = argv.find((word) => LINE_BREAK.test(word));
  if (broken !== undefined) {
    // What is wrong with a word is said in one line, which it must not end.
    process.stderr.write(printableLines(`penstock: ${JSON.stringify(broken)} has a line break in it\n`));
    process.exitCode = 2;
    return;
  }
  const lossy = argv.find((word) => word.includes(NO_UTF8));
  if (lossy !== undefined) {
    process.stderr.write(
      printableLines(
        `penstock: ${JSON.stringify(lossy)} is no UTF-8, which file names and all other words must be\n`,
      ),
    );
    process.exitCode = 2;
    return;
  }
  const word = name === '--version' ? 'version' : name;
  const command = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined;
  if (!command) {
    const near = nearestName(name, Object.keys(COMMANDS));
    const hint = near === undefined ? '`penstock help` lists them.' : `Did you mean ${near}?`;
    process.stderr.write(
      printableLines(`penstock: there is no command ${JSON.stringify(name)}\n→ ${hint}\n`),
    );
    process.exitCode = 2;
    return;
  }
  try {
    process.exitCode = await (await command.load())(rest);
  } catch (error) {
    process.stderr.write(printableLines(`penstock ${name}: ${explain(error)}\n`));
    process.exitCode = isBadInput(error) ? 2 : command.failure;
  }
  endEvenIfHeld(name);
}

/** Nothing should be open by now. Should anything be, nobody is to need a second signal. */
function endEvenIfHeld(name: string): void {
  const HELD_MS = 3000;
  setTimeout(() => {
    const held = process.getActiveResourcesInfo().join(', ');
    process.stderr.write(`penstock ${name}: ends, although there is still open: ${held}\n`);
    process.exit();
  }, HELD_MS).unref();
}

/** `help`, `--help`, nothing → []; `help run` → run --help. */
function resolveHelp(argv: readonly string[]): readonly string[] {
  const [first, second] = argv;
  if (first === undefined || first === '--help' || first === '-h') return [];
  if (first !== 'help') return argv;
  return second === undefined ? [] : [second, '--help'];
}

/** `penstock render | head`: a reader who has enough is no error. An agent serves on when nobody reads its log any more. */
function endWhenNobodyReads(name: string | undefined): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (name === 'run') return;
    if (error.code === 'EPIPE') process.exit(0);
    process.stderr.write(`penstock: standard output cannot be written: ${messageOf(error)}\n`);
    process.exit(2);
  });
}

function usage(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length)) + 2;
  const line = (name: string, { summary }: Command) => `  ${name.padEnd(width)}${summary}`;
  const groups = COMMAND_GROUPS.map((group) => ({
    group,
    lines: Object.entries(COMMANDS).flatMap(([name, command]) =>
      command.group === group ? [line(name, command)] : [],
    ),
  })).filter(({ lines }) => lines.length > 0);
  return `penstock: a Kubernetes Service proxy and L4 load balancer for Linux nodes

  penstock COMMAND [flags]      penstock help COMMAND

${groups.map(({ group, lines }) => `${group}\n${lines.join('\n')}`).join('\n\n')}
`;
}

function isBadInput(error: unknown): boolean {
  return error instanceof PenstockError && BAD_INPUT.has(error.code);
}

/** A PenstockError speaks for itself; anything else is a bug of ours and shows where. */
function explain(error: unknown): string {
  if (error instanceof PenstockError) return messageWithRemedy(error);
  const { code } = error as { code?: unknown };
  if (code === 'EMFILE' || code === 'ENFILE')
    return 'there are too few file descriptors\n→ Raise the limit: ulimit -n 1024, or LimitNOFILE= of the unit.';
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** argv → command. Commands are loaded when they are called: what a run does not need costs it no memory. */
import { PenstockError } from './errors.js';

interface Command {
  readonly summary: string;
  /** Resolves with the exit status. */
  readonly load: () => Promise<(argv: readonly string[]) => Promise<number>>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  run: {
    summary: 'serve Services on this node',
    load: async () => (await import('./cli/runReduced.js')).runReduced,
  },
  render: {
    summary: 'print the rules that would be written; needs no root',
    load: async () => (await import('./cli/render.js')).render,
  },
  doctor: {
    summary: 'say what this kernel and host can, and what stands in the way',
    load: async () => (await import('./cli/doctor.js')).doctor,
  },
  cleanup: {
    summary: 'remove everything that penstock made in the kernel',
    load: async () => (await import('./cli/cleanup.js')).cleanup,
  },
  version: {
    summary: 'print the version',
    load: async () => (await import('./cli/version.js')).version,
  },
};

/** Never rejects: what goes wrong is said on standard error and told by the exit status (2: wrong call). */
export async function main(argv: readonly string[]): Promise<void> {
  const [name = '--help', ...rest] = argv;
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage());
    return;
  }
  const command = COMMANDS[name === '--version' ? 'version' : name];
  if (!command) {
    process.stderr.write(`penstock: there is no command ${name}\n\n${usage()}`);
    process.exitCode = 2;
    return;
  }
  try {
    process.exitCode = await (await command.load())(rest);
  } catch (error) {
    process.stderr.write(`penstock ${name}: ${explain(error)}\n`);
    process.exitCode = 1;
  }
}

function usage(): string {
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`);
  return `penstock: a Kubernetes Service proxy for Linux nodes

  penstock COMMAND [flags]      penstock COMMAND --help

${lines.join('\n')}
`;
}

/** A PenstockError speaks for itself; anything else is a bug of ours and shows where. */
function explain(error: unknown): string {
  if (error instanceof PenstockError)
    return error.remedy ? `${error.message}\n→ ${error.remedy}` : error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** penstock run, with no more capabilities than it needs. Loads little: what follows may be the same program once more. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseRunCommand, type RunCommand } from '../../config/flags/parseRunCommand.js';
import { thisProcess } from '../../host/privileges.js';
import { isReduced, reducePrivileges } from '../../host/reducePrivileges.js';

export async function runReduced(argv: readonly string[]): Promise<number> {
  const command = isReduced() ? undefined : parsed(argv);
  const unreduced =
    command?.type === 'run' && serves(command) ? reducePrivileges(command.config, thisProcess()) : undefined;
  return (await import('./run.js')).run(argv, unreduced);
}

/** Undefined when something is wrong with it, which run() then says. */
function parsed(argv: readonly string[]): RunCommand | undefined {
  try {
    return parseRunCommand(argv, { readFile: (path) => readFileSync(path, 'utf8'), hostname });
  } catch {
    return undefined;
  }
}

function serves({ options }: Extract<RunCommand, { type: 'run' }>): boolean {
  return !(options.initOnly || options.dryRun || options.cleanup || options.writeConfigTo !== '');
}

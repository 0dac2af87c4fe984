/** penstock run: serves Services on this node until SIGTERM or SIGINT. */
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { requireSource } from '../../agent/openSources.js';
import { serveNode } from '../../agent/serveNode.js';
import { writeConfig } from '../../config/file/writeConfig.js';
import { flagHelp } from '../../config/flags/flagHelp.js';
import { parseRunCommand, type Run, type RunCommand } from '../../config/flags/parseRunCommand.js';
import { readConfigText } from '../../config/readConfigText.js';
import { messageOf, PenstockError } from '../../errors.js';
import { missingPrivileges, requireAll, thisProcess } from '../../host/privileges.js';
import { createLogger } from '../../observe/log/createLogger.js';
import { packageVersion } from '../version.js';

/**
 * `note`: why this process has more capabilities than the mode needs; '' when it has not. `parsed`: what `argv` says, undefined
 * when something is wrong with it.
 */
export async function run(
  argv: readonly string[],
  note: string,
  parsed: RunCommand | undefined,
): Promise<number> {
  const parse = () => parseRunCommand(argv, { readFile: readConfigText, hostname });
  const command = parsed ?? parse();
  if (command.type === 'help') {
    process.stdout.write(flagHelp());
    return 0;
  }
  if (command.type === 'version') {
    process.stdout.write(`penstock ${packageVersion()}\n`);
    return 0;
  }
  const { config, source, options } = command;
  if (options.writeConfigTo !== '') {
    writeConfigTo(options.writeConfigTo, await writeConfig(source));
    return 0;
  }
  if (options.cleanup)
    return (await import('../host/cleanup.js')).cleanup(options.dryRun ? ['--dry-run'] : []);
  check(command);
  if (options.dryRun) return (await import('./dryRun.js')).dryRun(command);
  requireAll(missingPrivileges(config, thisProcess()));
  const { format, verbosity } = config.logging;
  const log = createLogger({ format: format === 'json' ? 'json' : 'text', verbosity }, process.stdout);
  log.info(`penstock ${packageVersion()} on node ${config.nodeName}, Node.js ${process.version}`);
  if (note !== '') log.info(note);
  for (const warning of command.warnings) log.warn(warning);
  const parseAgain = () => {
    const changed = parse();
    if (changed.type !== 'run') throw new TypeError('a command line that ran is one that runs');
    check(changed);
    return changed;
  };
  await serveNode({ run: command, parse: parseAgain, version: packageVersion(), log });
  return 0;
}

function writeConfigTo(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new PenstockError('PENSTOCK_CONFIG_UNWRITABLE', `--write-config-to ${path}: ${messageOf(error)}`, {
      remedy: 'Name a file in a folder that is there and that you may write to.',
    });
  }
}

/** What can be said of a command line without opening anything. */
function check(run: Run): void {
  if (!run.options.initOnly) requireSource(run);
}

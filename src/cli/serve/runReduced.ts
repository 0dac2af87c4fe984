/** penstock run, with no more capabilities than it needs. Loads little: what follows may be the same program once more. */
import { realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { parseRunCommand, type Run, type RunCommand } from '../../config/flags/parseRunCommand.js';
import { readConfigText } from '../../config/readConfigText.js';
import { thisProcess } from '../../host/privileges.js';
import { isReduced, reducePrivileges, whyMoreIsKept } from '../../host/reducePrivileges.js';

export async function runReduced(argv: readonly string[]): Promise<number> {
  const command = parsed(argv);
  const note = isReduced() ? whyMoreIsKept() : await reduce(command);
  return (await import('./run.js')).run(argv, note, command);
}

/** Resolves to what is to be said of it. */
async function reduce(command: RunCommand | undefined): Promise<string> {
  if (command?.type !== 'run' || !serves(command) || process.getuid?.() !== 0) return '';
  const files = [...installation(), ...(await readLater(command))];
  return reducePrivileges(command.config, thisProcess(), files);
}

/** Undefined when something is wrong with it, which run() then says. */
function parsed(argv: readonly string[]): RunCommand | undefined {
  try {
    return parseRunCommand(argv, { readFile: readConfigText, hostname });
  } catch {
    return undefined;
  }
}

function serves({ options }: Run): boolean {
  return !(options.initOnly || options.dryRun || options.cleanup || options.writeConfigTo !== '');
}

/** Modules are loaded when they are needed. */
function installation(): readonly string[] {
  const program = process.argv[1];
  const folders = program === undefined ? [] : [dirname(dirname(realpathSync(program)))];
  return [process.execPath, ...folders, new URL('../../', import.meta.url).pathname];
}

async function readLater({ config, options }: Run): Promise<readonly string[]> {
  const own = options.configFile === '' ? [] : [options.configFile];
  const { kubeconfig } = config.clientConnection;
  if (kubeconfig === '' || config.manifests !== '') return own;
  const { readKubeconfig } = await import('../../kubernetes/kubeconfig/readKubeconfig.js');
  const { filesOf } = await import('../../kubernetes/kubeconfig/filesOf.js');
  try {
    const connection = await readKubeconfig(kubeconfig, options.master);
    return [...own, kubeconfig, ...filesOf(connection, process.env)];
  } catch {
    // What is wrong with it the run says.
    return [...own, kubeconfig];
  }
}

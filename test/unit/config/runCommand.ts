/** Shared by the tests of this folder: runs parseRunCommand with one file in place of a disk. */
import { parseRunCommand, type RunCommand } from '../../../src/config/flags/parseRunCommand.js';
import { PenstockError } from '../../../src/errors.js';

const HEADER = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';

interface Given {
  /** What stands before the text, two lines by default. */
  readonly header?: string;
  /** Flags beside --config. */
  readonly flags?: readonly string[];
}

/** The run that `--config proxy.yaml` with this text asks for. */
export function runFile(text: string, { header = HEADER, flags = [] }: Given = {}) {
  return runArguments(['--config', 'proxy.yaml', ...flags], header + text);
}

export function runArguments(argv: readonly string[], file?: string): Extract<RunCommand, { type: 'run' }> {
  const command = parseRunCommand(argv, { readFile: () => file ?? fail(), hostname: () => 'Host1\n' });
  if (command.type !== 'run') throw new Error(`expected a run, got ${command.type}`);
  return command;
}

/** The lines of the error that the call throws, without the heading; [] when it throws none. */
export function errorLines(call: () => unknown): readonly string[] {
  try {
    call();
  } catch (error) {
    if (!(error instanceof PenstockError) || error.code !== 'PENSTOCK_CONFIG_INVALID') throw error;
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}

function fail(): never {
  throw Object.assign(new Error("ENOENT: no such file or directory, open 'proxy.yaml'"), { code: 'ENOENT' });
}

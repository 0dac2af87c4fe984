/** penstock config check FILE: whether penstock takes a configuration of kube-proxy, and what of it changes nothing. */
import { hostname } from 'node:os';
import { parseRunCommand, type Run } from '../../config/flags/parseRunCommand.js';
import { readConfigText } from '../../config/readConfigText.js';
import { PenstockError } from '../../errors.js';
import { printable, printableJson } from '../../net/printable.js';
import { readArguments, WrongCall } from '../readArguments.js';

export const HELP = `penstock config check FILE [-o text|json]

Reads a KubeProxyConfiguration as penstock run --config FILE would, and says what is wrong with it and what of it changes
nothing here. Needs no cluster, no root and no kernel. FILE may be "-" for standard input.

Exit status: 0 it can be taken (warnings are printed), 1 it cannot, 2 it could not be looked at.

  kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\\.conf}' | penstock config check -
`;

export interface ConfigCheck {
  readonly file: string;
  readonly ok: boolean;
  readonly faults: readonly string[];
  readonly warnings: readonly string[];
}

export async function config(argv: readonly string[]): Promise<number> {
  const { values, words } = readArguments(argv, {
    options: { output: { type: 'string', short: 'o' } },
    words: [2, 2],
    wordsText: 'check FILE',
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const [verb, file = ''] = words;
  if (verb !== 'check') throw new WrongCall(`there is no config ${verb}`, 'Use penstock config check FILE.');
  const format = values.output ?? 'text';
  if (format !== 'text' && format !== 'json')
    throw new WrongCall(`--output is ${JSON.stringify(format)}`, 'Use text or json.');
  const found = checkConfig(file === '-' ? '/dev/stdin' : file, readConfigText);
  process.stdout.write(
    format === 'json' ? `${printableJson(JSON.stringify(found, null, 2))}\n` : textOf(found),
  );
  return found.ok ? 0 : 1;
}

/** Throws PENSTOCK_CONFIG_UNREADABLE. */
export function checkConfig(file: string, readFile: (path: string) => string): ConfigCheck {
  try {
    const command = parseRunCommand(['--config', file], { readFile, hostname });
    const warnings = command.type === 'run' ? warningsOf(command) : [];
    return { file, ok: true, faults: [], warnings };
  } catch (error) {
    if (!(error instanceof PenstockError) || error.code !== 'PENSTOCK_CONFIG_INVALID') throw error;
    const faults = error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
    return { file, ok: false, faults, warnings: [] };
  }
}

function warningsOf({ config, warnings }: Run): readonly string[] {
  const gates = config.unknownFeatureGates.map(
    (gate) => `featureGates.${gate} means nothing to penstock and is ignored`,
  );
  const fields = config.ignoredFields.map(({ field, why }) => `${field} has no effect: ${why}`);
  return [...warnings, ...gates, ...fields].map(printable);
}

function textOf({ file, ok, faults, warnings }: ConfigCheck): string {
  const lines = [
    ...faults.map((fault) => `error: ${fault}`),
    ...warnings.map((warning) => `warning: ${warning}`),
    ok ? `${printable(file)} can be taken` : `${printable(file)} cannot be taken`,
  ];
  return `${lines.join('\n')}\n`;
}

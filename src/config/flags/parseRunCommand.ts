/**
 * The command line of `penstock run`, with the file it names → what to run.
 */
import { messageOf, PenstockError } from '../../errors.js';
import { printable } from '../../net/printable.js';
import { ConfigDocument } from '../file/ConfigDocument.js';
import { type ConfigFault, type FieldPath, formatPath, pathOf } from '../file/ConfigFault.js';
import { decodeConfiguration } from '../file/decodeConfiguration.js';
import type { KubeProxyConfiguration } from '../file/KubeProxyConfiguration.js';
import { validateConfiguration } from '../file/validateConfiguration.js';
import { type NodeConfig, toNodeConfig } from '../NodeConfig.js';
import { flagLabel } from './flags.js';
import { flagsToConfiguration, optionOf, withFlags } from './flagsToConfiguration.js';
import { flagValues } from './flagValues.js';
import { type FlagFault, type GivenFlag, type ParsedFlags, parseFlags } from './parseFlags.js';

/** What the outside provides. */
export interface ConfigSurroundings {
  /** The text of a file; throws when it cannot be read. */
  readonly readFile: (path: string) => string;
  /** The operating system's name of this machine. */
  readonly hostname: () => string;
}

export interface RunOptions {
  /** Path of the configuration file, '' for none. */
  readonly configFile: string;
  /** Path to write the configuration to, then exit; '' for none. */
  readonly writeConfigTo: string;
  readonly cleanup: boolean;
  readonly initOnly: boolean;
  /** Print what would be done, and change nothing. */
  readonly dryRun: boolean;
  /** URL of the API server, '' for the kubeconfig's. */
  readonly master: string;
}

export type RunCommand =
  | { readonly type: 'help' }
  | { readonly type: 'version' }
  | {
      readonly type: 'run';
      readonly config: NodeConfig;
      /** The same configuration in the form of its file, for writeConfig, /configz and another mode. */
      readonly source: KubeProxyConfiguration;
      readonly options: RunOptions;
      /** What of the call and its file changes nothing, and why: one sentence each. */
      readonly warnings: readonly string[];
      /** Every flag by name, as it was given or by default: for /flagz. */
      readonly flags: ReadonlyMap<string, string>;
    };

/** A command line that serves. */
export type Run = Extract<RunCommand, { type: 'run' }>;

/** Throws a PenstockError that lists every fault. */
export function parseRunCommand(argv: readonly string[], surroundings: ConfigSurroundings): RunCommand {
  const flags = parseFlags(argv);
  if (optionOf(flags.given, 'help') === true) return { type: 'help' };
  if (optionOf(flags.given, 'version') === true) return { type: 'version' };
  const options = optionsOf(flags.given);
  const { source, warnings } = options.configFile
    ? configurationOfFile(options.configFile, surroundings.readFile, flags)
    : { source: configurationOfFlags(flags), warnings: [] };
  return {
    type: 'run',
    config: toNodeConfig(source, surroundings.hostname()),
    source,
    options,
    warnings,
    flags: flagValues(flags.given),
  };
}

function configurationOfFile(
  file: string,
  readFile: ConfigSurroundings['readFile'],
  flags: ParsedFlags,
): { readonly source: KubeProxyConfiguration; readonly warnings: readonly string[] } {
  const document = new ConfigDocument(readText(file, readFile));
  if (document.value === undefined && document.faults.length === 0) {
    throw unreadable(file, 'it is empty', undefined);
  }
  const decoded = document.broken ? undefined : decodeConfiguration(document.value);
  const shapeFaults = [...document.faults, ...(decoded?.faults ?? [])];
  const winners = flags.given.filter(({ flag }) => flag.besideConfig === 'allowed');
  const config = decoded && withFlags(decoded.config, winners);
  const broken = [...shapeFaults.map((fault) => fault.path), ...brokenFields(flags.faults)];
  const { ofFlags, ofFields } = attribute(config ? validateConfiguration(config, broken) : [], winners);
  const lineOf = (fault: ConfigFault) => fault.line ?? document.lineOf(fault.path, ...(fault.because ?? []));
  const lines = [
    ...flags.faults.map((fault) => fault.message),
    ...ofFlags,
    ...[...shapeFaults, ...ofFields]
      .toSorted((a, b) => lineOf(a) - lineOf(b))
      .map((fault) => `${file}:${lineOf(fault)}: ${nameAndMessage(fault)}`),
  ];
  const name = printable(file);
  const warnings = [
    ...flags.given
      .filter(({ flag }) => flag.besideConfig === 'ignored')
      .map(({ flag }) => `${flagLabel(flag)} has no effect beside --config; ${placeOf(flag, name)}`),
    ...(decoded?.ignored ?? []).map(
      (fault) => `${name}:${lineOf(fault)}: ${nameAndMessage(fault)}; it is ignored`,
    ),
  ];
  return { source: validOrThrow(config, lines), warnings: shortened(warnings) };
}

function placeOf({ fields }: GivenFlag['flag'], file: string): string {
  return fields === undefined ? `${file} says it` : `set ${fields.join(' and ')} in ${file}`;
}

const SHOWN = 50;

function shortened(lines: readonly string[]): readonly string[] {
  if (lines.length <= SHOWN) return lines;
  return [...lines.slice(0, SHOWN), `and ${lines.length - SHOWN} more`];
}

function configurationOfFlags(flags: ParsedFlags): KubeProxyConfiguration {
  const config = flagsToConfiguration(flags.given);
  const lines = flags.faults.map((fault) => fault.message);
  if (optionOf(flags.given, 'metricsPort') === 0) {
    lines.push('--metrics-port must be 1..65535: the metrics server cannot be turned off');
  }
  const found = attribute(validateConfiguration(config, brokenFields(flags.faults)), flags.given);
  return validOrThrow(config, [...lines, ...found.ofFlags, ...found.ofFields.map(nameAndMessage)]);
}

function validOrThrow(
  config: KubeProxyConfiguration | undefined,
  lines: readonly string[],
): KubeProxyConfiguration {
  if (config && lines.length === 0) return config;
  const count = lines.length === 1 ? 'one error' : `${lines.length} errors`;
  throw new PenstockError(
    'PENSTOCK_CONFIG_INVALID',
    `the configuration has ${count}:\n${shortened(lines)
      .map((line) => `  ${printable(line)}`)
      .join('\n')}`,
    { remedy: 'Correct these and start again; docs/configuration.md describes every field and flag.' },
  );
}

function readText(file: string, readFile: ConfigSurroundings['readFile']): string {
  try {
    return readFile(file);
  } catch (cause) {
    throw unreadable(file, messageOf(cause), cause);
  }
}

function unreadable(file: string, why: string, cause: unknown): PenstockError {
  return new PenstockError('PENSTOCK_CONFIG_UNREADABLE', `cannot read the configuration ${file}: ${why}`, {
    cause,
    remedy:
      'Check the path given with --config; `penstock run --write-config-to FILE` writes a complete file to begin with.',
  });
}

function optionsOf(given: readonly GivenFlag[]): RunOptions {
  return {
    configFile: String(optionOf(given, 'config') ?? ''),
    writeConfigTo: String(optionOf(given, 'writeConfigTo') ?? ''),
    cleanup: optionOf(given, 'cleanup') === true,
    initOnly: optionOf(given, 'initOnly') === true,
    dryRun: optionOf(given, 'dryRun') === true,
    master: String(optionOf(given, 'master') ?? ''),
  };
}

function brokenFields(faults: readonly FlagFault[]): readonly FieldPath[] {
  return faults.flatMap(({ flag }) => flag?.fields ?? []).map(pathOf);
}

/** Parts faults of fields that a given flag has set, told as faults of the flag, from those of other fields. */
function attribute(
  faults: readonly ConfigFault[],
  given: readonly GivenFlag[],
): { readonly ofFlags: readonly string[]; readonly ofFields: readonly ConfigFault[] } {
  const ofFlags = new Map<string, string>();
  const ofFields: ConfigFault[] = [];
  for (const fault of faults) {
    const setter = given.find(({ flag }) =>
      flag.fields?.some((field) => isWithin(fault.path, pathOf(field))),
    );
    if (!setter) {
      ofFields.push(fault);
      continue;
    }
    // One flag may set the same field of two blocks: that is still one fault.
    const parts = fault.path.slice(pathOf(setter.flag.fields?.[0] ?? '').length);
    const key = JSON.stringify([setter.flag.name, parts]);
    const subject = [flagLabel(setter.flag), ...parts.filter((part) => typeof part === 'string')].join(' ');
    if (!ofFlags.has(key)) ofFlags.set(key, `${subject} ${fault.message}`);
  }
  return { ofFlags: [...ofFlags.values()], ofFields };
}

function isWithin(path: FieldPath, block: FieldPath): boolean {
  return block.every((part, index) => part === path[index]);
}

function nameAndMessage(fault: ConfigFault): string {
  return `${formatPath(fault.path) || 'the configuration'} ${fault.message}`;
}

/** The value of every flag as /flagz shows it: as it was given, or else its default, in the words of Go's flag package. */
import { formatDuration } from '../../time/duration.js';
import { pathOf, valueAt } from '../file/ConfigFault.js';
import { HEALTHZ_PORT, METRICS_PORT } from '../file/KubeProxyConfiguration.js';
import { FLAGS, type Flag } from './flags.js';
import { FLAG_DEFAULTS } from './flagsToConfiguration.js';
import type { GivenFlag } from './parseFlags.js';

/** By name. */
export function flagValues(given: readonly GivenFlag[]): ReadonlyMap<string, string> {
  const values = new Map(given.map(({ flag, value }) => [flag.name, value]));
  return new Map(
    FLAGS.map((flag) => [
      flag.name,
      textOf(flag, values.has(flag.name) ? values.get(flag.name) : defaultOf(flag)),
    ]),
  );
}

function defaultOf({ fields: [field] = [], option, type }: Flag): unknown {
  if (field !== undefined) return valueAt(FLAG_DEFAULTS, pathOf(field));
  if (option === 'healthzPort') return HEALTHZ_PORT;
  if (option === 'metricsPort') return METRICS_PORT;
  return type === 'boolean' ? false : '';
}

function textOf({ type }: Flag, value: unknown): string {
  if (value === undefined || value === null) return type === 'list' ? '[]' : '';
  switch (type) {
    case 'duration':
      return formatDuration(Number(value));
    case 'list':
      return `[${(value as readonly string[]).join(',')}]`;
    case 'gates':
      return Object.entries(value as Readonly<Record<string, boolean>>)
        .map(([name, on]) => `${name}=${on}`)
        .join(',');
    case 'vmodule':
      return (value as readonly { filePattern: string; verbosity: number }[])
        .map(({ filePattern, verbosity }) => `${filePattern}=${verbosity}`)
        .join(',');
    default:
      return String(value);
  }
}

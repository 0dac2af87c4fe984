/**
 * Flags → configuration: alone, or on top of a file.
 */
import { pathOf } from '../file/ConfigFault.js';
import {
  DEFAULT_CONFIGURATION,
  HEALTHZ_PORT,
  type KubeProxyConfiguration,
  METRICS_PORT,
  withServerAddresses,
} from '../file/KubeProxyConfiguration.js';
import { withPort } from '../hostPort.js';
import type { OptionName } from './flags.js';
import type { GivenFlag } from './parseFlags.js';

/** Where the flags begin. Unlike the file, they give mode ipvs a shortest time between syncs. Source: kube-proxy. */
export const FLAG_DEFAULTS: KubeProxyConfiguration = withServerAddresses({
  ...DEFAULT_CONFIGURATION,
  ipvs: { ...DEFAULT_CONFIGURATION.ipvs, minSyncPeriod: DEFAULT_CONFIGURATION.iptables.minSyncPeriod },
});

/** The configuration that the flags alone make. */
export function flagsToConfiguration(given: readonly GivenFlag[]): KubeProxyConfiguration {
  const begin = { ...FLAG_DEFAULTS, healthzBindAddress: '', metricsBindAddress: '' };
  const config = withFlags(begin, given);
  const healthzPort = Number(optionOf(given, 'healthzPort') ?? HEALTHZ_PORT);
  const metricsPort = Number(optionOf(given, 'metricsPort') ?? METRICS_PORT);
  const completed = withServerAddresses({
    ...config,
    healthzBindAddress: withPort(config.healthzBindAddress, healthzPort),
    metricsBindAddress: withPort(config.metricsBindAddress, metricsPort),
  });
  return healthzPort === 0 ? { ...completed, healthzBindAddress: '' } : completed;
}

/** The configuration with the fields of the given flags replaced. */
export function withFlags(
  config: KubeProxyConfiguration,
  given: readonly GivenFlag[],
): KubeProxyConfiguration {
  const copy = structuredClone(config) as unknown as Record<string, unknown>;
  for (const { flag, value } of given) {
    for (const field of flag.fields ?? []) {
      const path = pathOf(field);
      const owner = path.slice(0, -1).reduce((block, part) => block[part] as Record<string, unknown>, copy);
      const last = String(path.at(-1));
      // Patterns of the command line come first, and the first that matches counts.
      const rest = flag.type === 'vmodule' ? (owner[last] as unknown[]) : [];
      owner[last] = flag.type === 'vmodule' ? [...(value as unknown[]), ...rest] : value;
    }
  }
  return copy as unknown as KubeProxyConfiguration;
}

export function optionOf(given: readonly GivenFlag[], name: OptionName): unknown {
  return given.find(({ flag }) => flag.option === name)?.value;
}

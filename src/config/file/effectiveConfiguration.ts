/** The configuration for /configz: as it was given, and what it left open as it was decided. */
import type { NodeConfig } from '../NodeConfig.js';
import { encodeConfiguration, type KubeProxyConfiguration } from './KubeProxyConfiguration.js';

export function effectiveConfiguration(
  source: KubeProxyConfiguration,
  { mode, nodePortAddresses }: Pick<NodeConfig, 'mode' | 'nodePortAddresses'>,
): Readonly<Record<string, unknown>> {
  const primary = nodePortAddresses === 'primary' ? { nodePortAddresses: ['primary'] } : {};
  return encodeConfiguration({ ...source, mode, ...primary });
}

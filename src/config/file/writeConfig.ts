/** A configuration as the YAML file that means the same. */
import { stringify } from 'yaml';
import { encodeConfiguration, type KubeProxyConfiguration } from './KubeProxyConfiguration.js';

export function writeConfig(config: KubeProxyConfiguration): string {
  return stringify(encodeConfiguration(config));
}

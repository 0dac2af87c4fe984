/** From a routing table to the rules of one family. */
import type { IptablesOptions } from '../../src/dataplane/iptables/IptablesOptions.js';
import { ruleSettings } from '../../src/dataplane/iptables/IptablesOptions.js';
import { RuleSet } from '../../src/dataplane/iptables/plan/RuleSet.js';
import type { RuleSettings } from '../../src/dataplane/iptables/rules/RuleSettings.js';
import {
  type CommentStyle,
  renderServicePort,
} from '../../src/dataplane/iptables/rules/renderServicePort.js';
import type { RuleOptions } from '../../src/explain/World.js';
import type { IpFamily } from '../../src/net/ip.js';
import type { RoutingTable } from '../../src/routing/RoutingTable.js';
import { ADDRESSES } from './arbitraries.js';
import { cidr, ip } from './builders.js';

/** The addresses of the test host, and the kernel at its best. */
export const HOST_FACTS = {
  addresses: [...ADDRESSES.IPv4.host, ...ADDRESSES.IPv6.host, ip('127.0.0.1'), ip('::1')],
  randomFully: true,
  conntrackLiberal: false,
  accounting: true,
} as const;

export const DEFAULT_CONFIG: RuleOptions = {
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.244.0.0/16'), IPv6: cidr('fd00:10::/32') } },
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortAddresses: [],
};

export function settingsOf(
  family: IpFamily,
  table: RoutingTable,
  config: RuleOptions = DEFAULT_CONFIG,
  facts: Partial<Parameters<typeof ruleSettings>[3]> = {},
): RuleSettings {
  const options: IptablesOptions = {
    ...config,
    masqueradeMark: 0x4000,
    nodePortAddresses: config.nodePortAddresses.map(cidr),
    syncPeriodMs: 30_000,
  };
  return ruleSettings(options, family, table, { ...HOST_FACTS, ...facts });
}

export function rulesOf(
  table: RoutingTable,
  settings: RuleSettings,
  comments: CommentStyle = 'full',
): RuleSet {
  const rules = new RuleSet();
  for (const [key, port] of table.servicePorts(settings.family)) {
    rules.apply([{ key, before: undefined, after: renderServicePort(port, settings, comments) }]);
  }
  return rules;
}

/** What a full sync of one family writes on a host without any rules, as text. */
import { hostAddresses } from '../../kernel/host/hostAddresses.js';
import type { IpFamily } from '../../net/ip.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { LARGE_CLUSTER_ENDPOINTS } from './FamilySync.js';
import { type IptablesOptions, ruleSettings } from './IptablesOptions.js';
import { NO_RULES } from './plan/ExistingRules.js';
import { planFull } from './plan/planFull.js';
import { RuleSet } from './plan/RuleSet.js';
import { renderServicePort } from './rules/renderServicePort.js';

export function renderFamily(family: IpFamily, table: RoutingView, options: IptablesOptions): string {
  const settings = ruleSettings(options, family, table, {
    addresses: hostAddresses(),
    randomFully: true,
    conntrackLiberal: false,
    accounting: true,
  });
  const ports = [...table.servicePorts(family).values()];
  const endpoints = ports.reduce((sum, port) => sum + port.endpoints.all.length, 0);
  const comments = endpoints > LARGE_CLUSTER_ENDPOINTS ? 'brief' : 'full';
  const rules = new RuleSet();
  rules.apply(
    ports.map((port) => ({
      key: port.key,
      before: undefined,
      after: renderServicePort(port, settings, comments),
    })),
  );
  return planFull(rules, NO_RULES, settings, Number.POSITIVE_INFINITY).toString();
}

/** What a full sync of one family writes on a host without anything, as text that the tools take. */
import { printChange as printSetChange } from '../../kernel/ipset/printChange.js';
import type { SetChange } from '../../kernel/ipset/SetChange.js';
import { printChange } from '../../kernel/ipvs/printChange.js';
import { SERVICE_LINK } from '../../kernel/routes/constants.js';
import type { Link } from '../../kernel/routes/Link.js';
import { printAddressChange, printLinkChange } from '../../kernel/routes/printChange.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import { DesiredState, nothingTouched } from './desired/DesiredState.js';
import { type IpvsOptions, ipvsSettings } from './desired/IpvsSettings.js';
import { entryChange } from './desired/SetEntry.js';
import { SET_NAMES, setSpec } from './desired/sets.js';
import type { Plan } from './plan/Plan.js';
import { planFresh } from './plan/planChanges.js';
import { NO_SAVED_RULES, planRules } from './rules/planRules.js';

export interface RenderedFamily {
  /** Input of `ipset restore`. */
  readonly sets: string;
  /** Input of `ipvsadm -R`. */
  readonly servers: string;
  /** Input of `ip -batch -`. */
  readonly addresses: string;
  /** Input of `iptables-restore --noflush`. */
  readonly rules: string;
}

const NEW_LINK: Link = { name: SERVICE_LINK, index: 0, kind: 'dummy', isUp: false };

/** `addresses`: those of the host, for node ports. */
export function renderFamily(
  family: IpFamily,
  table: RoutingTable,
  options: IpvsOptions,
  addresses: readonly IpAddress[],
): RenderedFamily {
  const settings = ipvsSettings(options, family, table, { addresses, randomFully: true, localhostPorts: {} });
  const desired = new DesiredState(settings);
  const touched = nothingTouched();
  for (const port of table.servicePorts(family).values()) desired.replace(undefined, port, touched);
  const plan = planFresh(desired);
  return {
    sets: printSets(plan, family),
    servers: plan.additions.map(({ change }) => `${printChange(change)}\n`).join(''),
    addresses: [
      printLinkChange({ action: 'add dummy', name: SERVICE_LINK }),
      ...plan.newAddresses.map((address) =>
        printAddressChange({ action: 'add address', link: NEW_LINK, address }),
      ),
      '',
    ].join('\n'),
    rules: planRules(settings, NO_SAVED_RULES).toString(),
  };
}

function printSets(plan: Plan, family: IpFamily): string {
  const changes: readonly SetChange[] = [
    ...SET_NAMES.map((name) => ({ action: 'create' as const, set: setSpec(name, family) })),
    ...plan.newEntries.map((entry) => entryChange('add', entry, family)),
  ];
  return changes.map((change) => `${printSetChange(change)}\n`).join('');
}

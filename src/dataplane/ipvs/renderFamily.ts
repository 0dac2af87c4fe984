/** What a full sync of one family writes on a host without anything, as text that the tools take. */
import { printChange } from '../../kernel/ipvs/printChange.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import { DesiredState, nothingTouched } from './DesiredState.js';
import { type IpvsOptions, ipvsSettings } from './IpvsSettings.js';
import type { Plan } from './Plan.js';
import { planFresh } from './planChanges.js';
import { NO_SAVED_RULES, planRules } from './planRules.js';
import { kernelName, SET_NAMES, setSpec } from './sets.js';

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
    addresses: `link add kube-ipvs0 type dummy\n${plan.newAddresses
      .map((ip) => `address add ${ip}/${family === 'IPv4' ? 32 : 128} dev kube-ipvs0\n`)
      .join('')}`,
    rules: planRules(settings, NO_SAVED_RULES).toString(),
  };
}

function printSets(plan: Plan, family: IpFamily): string {
  const lines = SET_NAMES.map((name) => {
    const { type, extension } = setSpec(name, family);
    const inet = family === 'IPv4' ? 'inet' : 'inet6';
    const options = type === 'bitmap:port' ? 'range 0-65535' : `family ${inet} hashsize 1024 maxelem 65536`;
    return `create ${kernelName(name, family)} ${type} ${options}${extension ? ' skbinfo' : ''}\n`;
  });
  for (const { set, element, mark } of plan.newEntries) {
    const text = mark === undefined ? '' : ` skbmark 0x${mark.toString(16)}`;
    lines.push(`add ${kernelName(set, family)} ${element}${text}\n`);
  }
  return lines.join('');
}

/** What others changed, in a sentence: from the plan that would repair it. */

import type { IpvsChange } from '../../../kernel/ipvs/IpvsChange.js';
import { virtualServerKey } from '../../../kernel/ipvs/VirtualServer.js';
import { joinHostPort } from '../../../net/ip.js';
import type { DesiredState } from '../desired/DesiredState.js';
import { kernelName } from '../desired/sets.js';
import type { Plan } from './Plan.js';
import type { Present } from './Present.js';

/** Undefined when there is nothing to repair. */
export function describeDifference(plan: Plan, desired: DesiredState, present: Present): string | undefined {
  const freed = [...desired.blocked.keys()].find((key) => !present.servers.has(key));
  if (freed !== undefined) return `virtual server ${freed}, which was somebody else's, is gone`;
  if (plan.isEmpty) return undefined;
  const more = plan.size > 1 ? `, and ${plan.size - 1} more differences` : '';
  return `${firstDifference(plan, desired)}${more}`;
}

function firstDifference(plan: Plan, { settings }: DesiredState): string {
  const [change] = [...plan.additions, ...plan.removals];
  if (change) return describeChange(change.change);
  const [missing] = plan.newAddresses;
  if (missing !== undefined) return `address ${missing} on kube-ipvs0 is gone`;
  const [extra] = plan.goneAddresses;
  if (extra !== undefined) return `kube-ipvs0 has an address that is not ours: ${extra}`;
  const [entry] = plan.newEntries;
  if (entry) return `element ${entry.element} of set ${kernelName(entry.set, settings.family)} is gone`;
  const [surplus] = plan.goneEntries;
  return surplus
    ? `set ${kernelName(surplus.set, settings.family)} has an element that is not ours: ${surplus.element}`
    : 'nothing';
}

function describeChange(change: IpvsChange): string {
  const server = `virtual server ${virtualServerKey(change.service)}`;
  const real =
    'destination' in change ? joinHostPort(change.destination.address, change.destination.port) : '';
  switch (change.action) {
    case 'add service':
      return `${server} is gone`;
    case 'set service':
      return `${server} has another scheduler, flags or timeout`;
    case 'delete service':
      return `${server} belongs to no Service`;
    case 'add destination':
      return `real server ${real} of ${server} is gone`;
    case 'set destination':
      return `real server ${real} of ${server} has another weight`;
    case 'delete destination':
      return `${server} has a real server that is not ours: ${real}`;
  }
}

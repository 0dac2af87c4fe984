/** What shall be written for one family, as a value. Its order is fixed: nothing is reachable before it can answer. */
import { append } from '../../../append.js';
import type { IpvsChange } from '../../../kernel/ipvs/IpvsChange.js';
import type { RealServer, RealServerId } from '../../../kernel/ipvs/RealServer.js';
import { type VirtualServerId, virtualServerKey } from '../../../kernel/ipvs/VirtualServer.js';
import type { IpAddress } from '../../../net/ip.js';
import { entryKey, type SetEntry } from '../desired/SetEntry.js';
import type { UrgentParts } from './urgentParts.js';

/** A message to IPVS, and for whom: the key of a service port. Undefined: what nobody wants any more. */
export interface OwnedChange {
  readonly change: IpvsChange;
  readonly owner: string | undefined;
}

/** A real server that has weight 0 from now on and goes when its connections have ended. */
export interface DrainingServer {
  readonly server: VirtualServerId;
  readonly destination: RealServerId;
}

export class Plan {
  readonly newEntries: SetEntry[] = [];
  /** Virtual servers and their real servers that come or change. */
  readonly additions: OwnedChange[] = [];
  readonly newAddresses: IpAddress[] = [];
  readonly goneAddresses: IpAddress[] = [];
  /** Real servers and virtual servers that go, or are drained. */
  readonly removals: OwnedChange[] = [];
  readonly goneEntries: SetEntry[] = [];
  /** Of `removals`: to be looked after. */
  readonly draining: DrainingServer[] = [];

  get isEmpty(): boolean {
    return this.size === 0;
  }

  /** Messages, if each element and address took one. */
  get size(): number {
    const { newEntries, additions, newAddresses, goneAddresses, removals, goneEntries } = this;
    return [newEntries, additions, newAddresses, goneAddresses, removals, goneEntries].reduce(
      (sum, list) => sum + list.length,
      0,
    );
  }

  drain(server: VirtualServerId, destination: RealServer): void {
    if (destination.weight !== 0) {
      const change: IpvsChange = {
        action: 'set destination',
        service: server,
        destination: { ...destination, weight: 0 },
      };
      this.removals.push({ change, owner: undefined });
    }
    this.draining.push({ server, destination });
  }
}

/** The part of a plan that must come first, and the rest. Only what is added can be urgent. */
export function splitPlan(plan: Plan, urgent: UrgentParts): readonly [first: Plan, rest: Plan] {
  const first = new Plan();
  const rest = new Plan();
  for (const entry of plan.newEntries) {
    (urgent.entries.has(entryKey(entry)) ? first : rest).newEntries.push(entry);
  }
  for (const each of plan.additions) {
    const key = virtualServerKey(each.change.service);
    (urgent.servers.has(key) ? first : rest).additions.push(each);
  }
  for (const address of plan.newAddresses) {
    (urgent.addresses.has(address) ? first : rest).newAddresses.push(address);
  }
  append(rest.goneAddresses, plan.goneAddresses);
  append(rest.removals, plan.removals);
  append(rest.goneEntries, plan.goneEntries);
  append(rest.draining, plan.draining);
  return [first, rest];
}

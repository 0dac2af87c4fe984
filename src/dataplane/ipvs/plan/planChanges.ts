/** What a change of service ports comes to in the kernel. Nothing is asked: both sides follow from the routing table. */
import { append } from '../../../append.js';
import type { DesiredState, Touched } from '../desired/DesiredState.js';
import type { SetEntry } from '../desired/SetEntry.js';
import { serverEntries } from '../desired/serverEntries.js';
import type { WantedServer } from '../desired/servicePortState.js';
import type { Drains } from './Drains.js';
import { Plan } from './Plan.js';
import { planServer } from './planServer.js';

/** `touched` is what DesiredState.replace() noted; `desired` is how it shall be. */
export function planChanges(desired: DesiredState, touched: Touched, drains: Drains): Plan {
  const plan = new Plan();
  for (const [key, before] of touched.servers) {
    const after = desired.server(key);
    planServer(before && asBefore(before), after, (target) => drains.has(key, target), plan);
    planServerEntries(before, after, plan);
  }
  for (const [key, { entry, before }] of touched.entries) {
    const after = desired.hasEntry(key);
    if (after && !before) plan.newEntries.push(entry);
    if (before && !after) plan.goneEntries.push(entry);
  }
  for (const [address, before] of touched.addresses) {
    const after = desired.hasAddress(address);
    if (after && !before) plan.newAddresses.push(address);
    if (before && !after) plan.goneAddresses.push(address);
  }
  return plan;
}

function asBefore({ server, realServers }: WantedServer) {
  return { server, realServers, connections: () => 'unknown' as const };
}

function planServerEntries(
  before: WantedServer | undefined,
  after: WantedServer | undefined,
  plan: Plan,
): void {
  const old = before ? serverEntries(before) : [];
  const now = after ? serverEntries(after) : [];
  for (const entry of now) if (!old.some((other) => sameEntry(other, entry))) plan.newEntries.push(entry);
  for (const entry of old) {
    const stays = now.some((other) => other.set === entry.set && other.element === entry.element);
    if (!stays) plan.goneEntries.push(entry);
  }
}

function sameEntry(a: SetEntry, b: SetEntry): boolean {
  return a.set === b.set && a.element === b.element && a.mark === b.mark;
}

/** The whole of a state that nothing of is in the kernel. */
export function planFresh(desired: DesiredState): Plan {
  const plan = new Plan();
  for (const server of desired.servers()) {
    planServer(undefined, server, () => false, plan);
    planServerEntries(undefined, server, plan);
  }
  append(plan.newEntries, desired.entries());
  append(plan.newAddresses, desired.addresses());
  return plan;
}

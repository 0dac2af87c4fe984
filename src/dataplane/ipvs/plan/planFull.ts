/** From what the kernel has to what it must have: only the difference is written, and only what is ours is touched. */
import type { DesiredState } from '../desired/DesiredState.js';
import type { SetEntry } from '../desired/SetEntry.js';
import { serverEntries } from '../desired/serverEntries.js';
import type { SetName } from '../desired/sets.js';
import type { Drains } from './Drains.js';
import { Plan } from './Plan.js';
import type { Present, PresentServer } from './Present.js';
import { planServer, type ServerBefore } from './planServer.js';

/** `desired` must leave out the virtual servers that are there and not ours (foreignServers). */
export function planFull(desired: DesiredState, present: Present, drains: Drains): Plan {
  const plan = new Plan();
  const wanted = new Map<SetName, Map<string, SetEntry>>();
  const want = (entry: SetEntry) => {
    const entries = wanted.get(entry.set) ?? new Map<string, SetEntry>();
    entries.set(entry.element, entry);
    wanted.set(entry.set, entries);
  };
  for (const entry of desired.entries()) want(entry);
  for (const server of desired.servers()) {
    for (const entry of serverEntries(server)) want(entry);
    const before = present.servers.get(server.key);
    planServer(before && asBefore(before, server.key, drains), server, () => false, plan);
  }
  for (const key of present.ours) {
    const before = present.servers.get(key);
    if (before && !desired.server(key))
      planServer(asBefore(before, key, drains), undefined, () => false, plan);
  }
  planSets(wanted, present, plan);
  for (const address of desired.addresses()) {
    if (!present.addresses.has(address)) plan.newAddresses.push(address);
  }
  for (const address of present.addresses) {
    if (!desired.hasAddress(address)) plan.goneAddresses.push(address);
  }
  return plan;
}

/** Somebody else's: they stay as they are, whoever wants their address and port. */
export function foreignServers({ servers, ours }: Present): Set<string> {
  return new Set([...servers.keys()].filter((key) => !ours.has(key)));
}

/** Drains of which the kernel knows nothing any more are over. */
export function forgetDrains(drains: Drains, present: Present): void {
  drains.retain((key, target) => present.servers.get(key)?.realServers.has(target) ?? false);
}

function planSets(
  wanted: ReadonlyMap<SetName, ReadonlyMap<string, SetEntry>>,
  present: Present,
  plan: Plan,
): void {
  for (const [set, entries] of wanted) {
    const there = present.sets.get(set);
    for (const [element, entry] of entries) {
      if (!there?.has(element) || there.get(element) !== entry.mark) plan.newEntries.push(entry);
    }
  }
  for (const [set, elements] of present.sets) {
    for (const element of elements.keys()) {
      if (!wanted.get(set)?.has(element)) plan.goneEntries.push({ set, element });
    }
  }
}

function asBefore({ server, realServers }: PresentServer, key: string, drains: Drains): ServerBefore {
  return {
    server,
    realServers,
    connections: (target) => {
      // Looked after already.
      if (drains.has(key, target)) return 'some';
      const known = realServers.get(target);
      return known && known.activeConnections + known.inactiveConnections === 0 ? 'none' : 'some';
    },
  };
}

/** Carries a plan out, in its order, and says what the kernel refused. */
import { append } from '../../../append.js';
import type { IpvsChange } from '../../../kernel/ipvs/IpvsChange.js';
import { virtualServerKey } from '../../../kernel/ipvs/VirtualServer.js';
import type { NetlinkError } from '../../../kernel/netlink/NetlinkError.js';
import { joinHostPort } from '../../../net/ip.js';
import type { FamilyKernel } from '../kernel/FamilyKernel.js';
import type { Drains } from './Drains.js';
import type { OwnedChange, Plan } from './Plan.js';

export interface WriteOutcome {
  /** Of virtual and real servers: the service port they are for, when it is known. */
  readonly refused: readonly {
    readonly change: IpvsChange;
    readonly owner: string | undefined;
    readonly error: NetlinkError;
  }[];
  /** Of sets and addresses. Nothing of them has one owner. */
  readonly errors: readonly NetlinkError[];
}

/** A real server with connections that do not end goes after this time, in milliseconds. */
const DRAIN_DEADLINE_MS = 900_000;

export async function writePlan(
  plan: Plan,
  kernel: FamilyKernel,
  drains: Drains,
  now: number,
): Promise<WriteOutcome> {
  const errors: NetlinkError[] = [];
  const collect = (refusals: readonly { readonly error: NetlinkError }[]) => {
    for (const { error } of refusals) errors.push(error);
  };
  collect(await kernel.changeEntries('add', plan.newEntries));
  const refused = [...(await changeServers(plan.additions, kernel, drains))];
  collect(await kernel.changeAddresses('add', plan.newAddresses));
  collect(await kernel.changeAddresses('delete', plan.goneAddresses));
  append(refused, await changeServers(plan.removals, kernel, drains));
  for (const draining of plan.draining) drains.add(draining, now + DRAIN_DEADLINE_MS);
  collect(await kernel.changeEntries('delete', plan.goneEntries));
  return { refused, errors };
}

async function changeServers(
  changes: readonly OwnedChange[],
  kernel: FamilyKernel,
  drains: Drains,
): Promise<WriteOutcome['refused']> {
  if (changes.length === 0) return [];
  const owners = new Map(changes.map(({ change, owner }) => [change, owner]));
  const refusals = await kernel.changeServers(changes.map(({ change }) => change));
  for (const { change } of changes) endDrain(change, drains);
  return refusals
    .filter(({ change, error }) => !isGoneAlready(change, error))
    .map(({ change, error }) => ({ change, error, owner: owners.get(change) }));
}

/** Whoever gets a weight, or is deleted, is drained no more. */
export function endDrain(change: IpvsChange, drains: Drains): void {
  const key = virtualServerKey(change.service);
  if (change.action === 'delete service') drains.removeServer(key);
  else if ('destination' in change) {
    drains.remove(key, joinHostPort(change.destination.address, change.destination.port));
  }
}

function isGoneAlready(change: IpvsChange, error: NetlinkError): boolean {
  if (change.action !== 'delete service' && change.action !== 'delete destination') return false;
  return error.code === 'ESRCH' || error.code === 'ENOENT';
}

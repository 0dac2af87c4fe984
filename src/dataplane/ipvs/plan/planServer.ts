/** From a virtual server as it is to one as it shall be. */
import type { RealServer } from '../../../kernel/ipvs/RealServer.js';
import type { VirtualServer } from '../../../kernel/ipvs/VirtualServer.js';
import type { WantedServer } from '../desired/servicePortState.js';
import type { Plan } from './Plan.js';

/** As it is: remembered, or read from the kernel. */
export interface ServerBefore {
  readonly server: VirtualServer;
  /** By target. Draining ones are among them only when they were read from the kernel. */
  readonly realServers: ReadonlyMap<string, RealServer>;
  /** Whether a real server has connections; `unknown` until somebody asks the kernel. */
  readonly connections: (target: string) => 'some' | 'none' | 'unknown';
}

/** Which real servers are being drained: by target. */
export type IsDraining = (target: string) => boolean;

export function planServer(
  before: ServerBefore | undefined,
  after: WantedServer | undefined,
  isDraining: IsDraining,
  plan: Plan,
): void {
  if (!after) {
    // With its real servers and without grace: its VIP is gone as well.
    if (before)
      plan.removals.push({ change: { action: 'delete service', service: before.server }, owner: undefined });
    return;
  }
  const { server, owner } = after;
  if (!before) plan.additions.push({ change: { action: 'add service', service: server }, owner });
  else if (!sameServer(before.server, server)) {
    plan.additions.push({ change: { action: 'set service', service: server }, owner });
  }
  for (const [target, destination] of after.realServers) {
    const known = before?.realServers.get(target);
    const there = known !== undefined || (before !== undefined && isDraining(target));
    if (known && sameRealServer(known, destination)) continue;
    const action = there ? 'set destination' : 'add destination';
    plan.additions.push({ change: { action, service: server, destination }, owner });
  }
  if (before) planGoneRealServers(before, after, plan);
}

function planGoneRealServers(before: ServerBefore, after: WantedServer, plan: Plan): void {
  for (const [target, destination] of before.realServers) {
    if (after.realServers.has(target)) continue;
    if (after.drains && before.connections(target) !== 'none') plan.drain(after.server, destination);
    else {
      const { address, port } = destination;
      plan.removals.push({
        change: { action: 'delete destination', service: after.server, destination: { address, port } },
        owner: undefined,
      });
    }
  }
}

function sameServer(a: VirtualServer, b: VirtualServer): boolean {
  return (
    a.scheduler === b.scheduler &&
    a.flags === b.flags &&
    a.timeoutSeconds === b.timeoutSeconds &&
    a.netmaskBits === b.netmaskBits
  );
}

function sameRealServer(a: RealServer, b: RealServer): boolean {
  return (
    a.weight === b.weight &&
    a.forwarding === b.forwarding &&
    a.upperThreshold === b.upperThreshold &&
    a.lowerThreshold === b.lowerThreshold
  );
}

/** One look at the real servers that wait for the end of their connections; those that have none left go. */
import type { IpvsChange } from '../../../kernel/ipvs/IpvsChange.js';
import { virtualServerKey } from '../../../kernel/ipvs/VirtualServer.js';
import { joinHostPort } from '../../../net/ip.js';
import type { FamilyKernel } from '../kernel/FamilyKernel.js';
import type { Drains } from './Drains.js';
import { endDrain } from './writePlan.js';

/**
 * By the kernel's own counts: established connections, and those that it still remembers for the sake of late packets
 * (TCP: up to 2 minutes after the end).
 */
export async function drainOnce(drains: Drains, kernel: FamilyKernel, now: number): Promise<void> {
  const ended: IpvsChange[] = [];
  for (const [service, waiting] of drains.servers()) {
    const key = virtualServerKey(service);
    const present = new Map(
      (await kernel.realServers(service)).map((state) => [joinHostPort(state.address, state.port), state]),
    );
    for (const [target, { destination, deadline }] of [...waiting]) {
      const state = present.get(target);
      const { address, port } = destination;
      if (!state) drains.remove(key, target);
      else if (now >= deadline || state.activeConnections + state.inactiveConnections === 0) {
        ended.push({ action: 'delete destination', service, destination: { address, port } });
      }
    }
  }
  if (ended.length === 0) return;
  // A refusal means that somebody else was quicker.
  await kernel.changeServers(ended);
  for (const change of ended) endDrain(change, drains);
}

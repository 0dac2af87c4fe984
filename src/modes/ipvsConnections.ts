/** Connections that IPVS still carries when a node has left mode ipvs. */

import type { Ipvs } from '../kernel/ipvs/Ipvs.js';
import type { VirtualServerId } from '../kernel/ipvs/VirtualServer.js';
import { type Clock, sleep } from '../time/Clock.js';

const LOOK_EVERY_MS = 250;
/** Whoever waits for this is not ready meanwhile. */
const LONGEST_MS = 2000;

/**
 * Resolves when no connection is established and those just ended have had the time for their last packets; after 2 s in
 * any case. With its virtual server a connection loses its way: IPVS drops what is still to come (ip_vs_in_hook()).
 */
export async function connectionsEnded(
  ipvs: Ipvs,
  servers: readonly VirtualServerId[],
  clock: Clock,
): Promise<void> {
  if (servers.length === 0) return;
  const deadline = clock.now() + LONGEST_MS;
  let wasIdle = false;
  while (clock.now() < deadline) {
    // A connection that is being made is not counted yet, so one look is not enough.
    await sleep(clock, LOOK_EVERY_MS);
    const isIdle = !(await hasEstablished(ipvs, servers));
    if (isIdle && wasIdle) return;
    wasIdle = isIdle;
  }
}

async function hasEstablished(ipvs: Ipvs, servers: readonly VirtualServerId[]): Promise<boolean> {
  for (const server of servers) {
    const states = await ipvs.listDestinations(server);
    if (states.some(({ activeConnections }) => activeConnections > 0)) return true;
  }
  return false;
}

/**
 * Virtual servers of ours whose element of PENSTOCK-SERVERS somebody deleted while no agent ran. A virtual server of somebody else
 * is left alone, as of the places where one stands in our way we keep neither elements nor addresses. So what our sets list by its
 * very address and port was ours when they were written, whatever became of its Service since. A node port is listed for all addresses
 * at once; there, and where that element is gone too, two things at once are needed: the very form that we give it, and at
 * least two of three other traces of ours.
 */
import type { Forwarding, RealServerState } from '../../../kernel/ipvs/RealServer.js';
import type { VirtualServer } from '../../../kernel/ipvs/VirtualServer.js';
import { joinHostPort } from '../../../net/ip.js';
import type { DesiredState } from '../desired/DesiredState.js';
import { isExcluded } from '../desired/IpvsSettings.js';
import { isListed, isListedItself } from '../desired/serverEntries.js';
import type { WantedServer } from '../desired/servicePortState.js';
import type { FamilyKernel } from '../kernel/FamilyKernel.js';
import type { Present } from './Present.js';

const ENOUGH_TRACES = 2;
/** What we ask for, and what the kernel makes of it where the endpoint is the node itself (ip_vs_ctl.c). */
const OUR_FORWARDING: readonly Forwarding[] = ['masquerade', 'local'];

/**
 * What the kernel has, with those among our own; undefined: there are none. `desired` is made without them. `isTheirs`: that
 * somebody was seen making the virtual server with that key.
 */
export async function reclaim(
  present: Present,
  desired: DesiredState,
  kernel: Pick<FamilyKernel, 'realServers'>,
  isTheirs: (key: string) => boolean,
): Promise<Present | undefined> {
  const servers = new Map(present.servers);
  const ours = new Set(present.ours);
  for (const [key, { wanted }] of desired.blocked) {
    const found = present.servers.get(key);
    if (!found || isTheirs(key)) continue;
    const isOurs = isListedItself(wanted.server, present.sets);
    if (!isOurs && !hasForm(found.server, wanted.server)) continue;
    if ('address' in wanted.server && isExcluded(wanted.server.address, desired.settings)) continue;
    const states = await kernel.realServers(found.server);
    if (!isOurs && traces(wanted, states, present) < ENOUGH_TRACES) continue;
    servers.set(key, {
      server: found.server,
      realServers: new Map(states.map((each) => [targetOf(each), each])),
    });
    ours.add(key);
  }
  return ours.size > present.ours.size ? { ...present, servers, ours } : undefined;
}

function hasForm(found: VirtualServer, wanted: VirtualServer): boolean {
  return (
    found.scheduler === wanted.scheduler &&
    found.flags === wanted.flags &&
    found.timeoutSeconds === wanted.timeoutSeconds &&
    found.netmaskBits === wanted.netmaskBits
  );
}

/** Its address on kube-ipvs0; its place in a set that says what is served; one of its endpoints, masqueraded as we do. */
function traces(
  { server, realServers }: WantedServer,
  states: readonly RealServerState[],
  present: Present,
): number {
  const found = [
    'address' in server && present.addresses.has(server.address),
    isListed(server, present.sets),
    states.some((state) => realServers.has(targetOf(state)) && OUR_FORWARDING.includes(state.forwarding)),
  ];
  return found.filter((isThere) => isThere).length;
}

function targetOf({ address, port }: RealServerState): string {
  return joinHostPort(address, port);
}

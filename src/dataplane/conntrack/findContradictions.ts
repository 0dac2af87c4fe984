/**
 * Which conntrack entries contradict the routing table. NAT happens once in the life of a connection: as long as a UDP
 * client goes on sending, its packets go where the first one went. kube-proxy deletes UDP entries of other endpoints
 * too, but not when none is left or the Service is gone (k/k#139628, #141371), and no TCP (k/k#48719, #101607).
 */
import type { ConntrackEntry } from '../../kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus, IpProtocol } from '../../kernel/conntrack/constants.js';
import { isLoopback, joinHostPort } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { Destinations, type NodePortAddresses, vipTargets } from './Destinations.js';
import type { OwedChecks } from './OwedChecks.js';

/** What entries are held against: one protocol of one IP family. */
export interface Standard {
  readonly checks: OwedChecks;
  /** All service ports that are in force, by ServicePort.key. */
  readonly servicePorts: ReadonlyMap<string, ServicePort>;
  readonly nodePortAddresses: NodePortAddresses;
  /** `127.0.0.1:4711`, where this agent itself takes what is sent to node ports on loopback. */
  readonly localhostTargets?: ReadonlySet<string>;
}

/**
 * The entries that lead, or never led, where the table says something else:
 *
 * - sent to a VIP, or to a node port at this node's addresses, and answered by no reachable endpoint of it; on loopback, by no
 *   proxy of this agent either: those of an agent before are led nowhere, and so are those older than the Service;
 * - sent to what was a VIP or node port and is none any more, and NATed to an endpoint that it had.
 *
 * Entries of other zones are somebody else's, and TCP connections that had an answer are left to end by themselves.
 */
export function findContradictions(
  entries: readonly ConntrackEntry[],
  { checks, servicePorts, nodePortAddresses, localhostTargets }: Standard,
): ConntrackEntry[] {
  const endpoints = new EndpointTargets();
  const concerned = new Destinations(checks.concerned(servicePorts), nodePortAddresses);
  let everything: Destinations | undefined;

  const contradicts = (entry: ConntrackEntry): boolean => {
    if (!isConsidered(entry)) return false;
    const { destination, destinationPort } = entry.original;
    const answers = joinHostPort(entry.reply.source, entry.reply.sourcePort);
    if (isLoopback(destination) && localhostTargets?.has(answers)) return false;
    const wronged = concerned.owner(destination, destinationPort);
    // The tuples decide: IPVS rewrites destinations without IPS_DST_NAT. What answers for itself may be a process here.
    const former =
      wronged === undefined &&
      answers !== joinHostPort(destination, destinationPort) &&
      checks.onceLedTo(destination, destinationPort, answers, nodePortAddresses);
    if (!former && (wronged === undefined || endpoints.has(wronged, answers))) return false;
    // Rare from here on, and somebody who is not concerned may own the place: his VIP goes before a node port.
    everything ??= new Destinations(servicePorts.values(), nodePortAddresses);
    const owner = everything.owner(destination, destinationPort);
    return owner === undefined ? former : !endpoints.has(owner, answers);
  };
  return entries.filter(contradicts);
}

/** Whether any entry could contradict the table; if not, the kernel need not be asked. */
export function canBeContradicted({
  checks,
  servicePorts,
}: Pick<Standard, 'checks' | 'servicePorts'>): boolean {
  if (checks.hasFormerPlaces) return true;
  for (const port of checks.concerned(servicePorts)) {
    if (port.nodePort !== 0 || vipTargets(port).length > 0) return true;
  }
  return false;
}

function isConsidered({ zone, status, original }: ConntrackEntry): boolean {
  if (zone !== 0) return false;
  if (original.protocol === IpProtocol.UDP) return true;
  return original.protocol === IpProtocol.TCP && (status & ConntrackStatus.SEEN_REPLY) === 0;
}

/** The reachable endpoints of service ports, each collected when it is first asked for. */
class EndpointTargets {
  readonly #targets = new Map<ServicePort, ReadonlySet<string>>();

  has(port: ServicePort, target: string): boolean {
    let targets = this.#targets.get(port);
    if (targets === undefined) {
      targets = new Set(port.endpoints.reachable.map((endpoint) => endpoint.target));
      this.#targets.set(port, targets);
    }
    return targets.has(target);
  }
}

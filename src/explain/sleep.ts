/** Services that nobody serves and that wake to a first packet (docs/first-packet.md): who waits, and who is refused all the same. */
import type { IpFamily } from '../net/ip.js';
import { holdsFirstPackets, readWake, targetText, type Wake } from '../routing/waking.js';
import { formatDuration } from '../time/duration.js';
import { contains } from './addresses.js';
import type { Decision } from './Decision.js';
import { endpointSets } from './endpoints.js';
import { servesNodePorts, sourceRanges } from './policies.js';
import { type Flow, familyOfFlow, type Rules, type World } from './World.js';

export type Sleep =
  | { readonly type: 'held'; readonly wake: Wake }
  /** The Service sleeps, and this packet wakes nobody. `why`: a sentence. */
  | { readonly type: 'wakes nobody'; readonly why: string; readonly remedy: string };

/** Undefined: the Service does not sleep, or something else than its sleep decides. */
export function sleepOf(world: World, rules: Rules, flow: Flow, decision: Decision): Sleep | undefined {
  const { verdict, winner, kind } = decision;
  if (winner === undefined || verdict.type === 'forward') return undefined;
  if (verdict.reason !== 'no-endpoints' && verdict.reason !== 'node-sends-elsewhere') return undefined;
  const { service, port } = winner;
  const { wake } = readWake(service.options);
  const family = familyOfFlow(flow);
  if (wake === undefined || endpointSets(world, service, port, family).any) return undefined;
  const nobody = (why: string, remedy: string): Sleep => ({ type: 'wakes nobody', why, remedy });
  const whom = targetText(wake.target);
  if (port.protocol === 'SCTP')
    return nobody('asleep, but packets of SCTP are not held: nobody wakes', `Start ${whom}.`);
  if (!isAcceptedHere(wake, winner, family) && !holdsFirstPackets(rules.mode))
    return nobody(
      `asleep, but mode ${rules.mode} holds no packets: nobody wakes`,
      `Start ${whom}, use mode nftables, iptables or userspace, or for TCP penstock.io/wake: accept.`,
    );
  if (flow.origin === 'node' && rules.ownPacketsWake !== true)
    return nobody(
      `asleep: a first packet from elsewhere is held and wakes ${whom}; those of the node itself are refused`,
      'Ask from elsewhere, or let the node wake it too: penstock.wake.ownPackets: true.',
    );
  // Others may be refused by rules that look for endpoints first.
  const ranges = kind === 'load-balancer IP' ? sourceRanges(winner, family) : [];
  if (ranges.length > 0 && !ranges.some((range) => contains(range, flow.source)))
    return nobody(
      `asleep, and clients outside of loadBalancerSourceRanges (${ranges.join(', ')}) wake nobody`,
      "Add the client's range to spec.loadBalancerSourceRanges of the Service.",
    );
  if (kind === 'node port' && !servesNodePorts(rules, family, flow.destination))
    return nobody(
      'asleep, and node ports do not answer on this address of the node: nobody wakes',
      'Use an address that nodePortAddresses contains.',
    );
  return { type: 'held', wake };
}

/** Whether its connections are accepted, and wait so: TCP, of a Service that source ranges keep nobody of this family from. */
function isAcceptedHere({ way }: Wake, winner: NonNullable<Decision['winner']>, family: IpFamily): boolean {
  return way === 'accept' && winner.port.protocol === 'TCP' && sourceRanges(winner, family).length === 0;
}

/** What happens to a packet that waits: sentences. */
export function waitingNotes(
  wake: Wake,
  winner: NonNullable<Decision['winner']>,
  family: IpFamily,
): readonly string[] {
  const { target, timeout } = wake;
  const time = formatDuration(timeout);
  const isAccepted = isAcceptedHere(wake, winner, family);
  const end = isAccepted
    ? `the connection is accepted at once, and reset if nobody is ready in ${time}`
    : `if nobody is ready in ${time} it is dropped, and the Service refuses for 10 s`;
  return target === undefined
    ? [
        'it waits; the annotation wake-target names nobody to start: an Event and the webhook tell that somebody is wanted',
        end,
      ]
    : [`it waits, and wakes ${targetText(target)}`, end];
}

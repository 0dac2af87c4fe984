/** What an agent knows of itself. A command that shows it tests besides: what an agent believes may not be so. */
import { IP_FAMILIES } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { serviceRows } from './serviceRows.js';

export interface AgentStatus {
  readonly version: string;
  readonly mode: string;
  /** As the mode describes itself: `nftables over netlink, IPv4 and IPv6`. */
  readonly description: string;
  readonly node: string;
  readonly pid: number;
  /** Which network namespace it serves: its key (kernel/host/networkNamespaceKey). */
  readonly networkNamespace: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Command line of `penstock run`, without the program. */
  readonly arguments: readonly string[];
  readonly folder: string;
  /** What the rules in the kernel depend on besides objects and configuration: RuleFacts of the dataplane. */
  readonly ruleFacts: unknown;
  readonly ready: boolean;
  /** Why it is not ready; '' when it is. */
  readonly waitingFor: string;
  /** Whether the node is being left to another proxy: waiting for its rules, or left. */
  readonly departure: 'serving' | 'waiting' | 'left';
  /** What is waited for, or who serves now; '' while serving. */
  readonly departureSays: string;
  readonly sources: readonly {
    readonly resource: string;
    readonly connected: boolean;
    readonly reason: string;
  }[];
  readonly counts: {
    readonly services: number;
    readonly servicePorts: number;
    readonly endpoints: number;
    readonly withoutEndpoints: number;
    readonly withoutLocalEndpoints: number;
  };
  /** The first by name; `counts` has how many there are. */
  readonly withoutEndpoints: readonly string[];
  /** Everything that is set aside, or in conflict: the first hundred. */
  readonly problems: readonly Problem[];
  readonly problemCount: number;
  /** Bytes. */
  readonly residentMemory: number;
}

export const SHOWN_PROBLEMS = 100;
const SHOWN_SERVICES = 20;

/** The part that follows from the routing table. */
export function tableStatus(
  view: Pick<RoutingView, 'servicePorts'>,
): Pick<AgentStatus, 'counts' | 'withoutEndpoints'> {
  const rows = serviceRows(view);
  const without = rows.filter(({ state }) => state === 'no endpoints');
  let endpoints = 0;
  for (const family of IP_FAMILIES)
    for (const port of view.servicePorts(family).values()) endpoints += port.endpoints.all.length;
  return {
    counts: {
      services: new Set(rows.map(({ service }) => service)).size,
      servicePorts: rows.length,
      endpoints,
      withoutEndpoints: without.length,
      withoutLocalEndpoints: rows.filter(({ state }) => state === 'no local endpoints').length,
    },
    withoutEndpoints: without.slice(0, SHOWN_SERVICES).map(({ key }) => key),
  };
}

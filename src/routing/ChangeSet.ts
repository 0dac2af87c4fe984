/** What a commit of the routing table changed. */
import type { IpFamily } from '../net/ip.js';
import type { ServicePort } from './ServicePort.js';

export interface ServicePortChange {
  readonly key: string;
  /** Undefined: the service port is new. */
  readonly before: ServicePort | undefined;
  /** Undefined: the service port is gone. */
  readonly after: ServicePort | undefined;
}

export interface ChangeSet {
  readonly families: Readonly<Record<IpFamily, readonly ServicePortChange[]>>;
  /** When the changes were made in the cluster, as far as known: milliseconds since the epoch. */
  readonly triggerTimes: readonly number[];
}

/** Whole tables, for whoever knows nothing of them yet. */
export function asNew(ports: Iterable<ServicePort>): ServicePortChange[] {
  return Array.from(ports, (after) => ({ key: after.key, before: undefined, after }));
}

export function isEmpty(changes: ChangeSet): boolean {
  return changes.families.IPv4.length === 0 && changes.families.IPv6.length === 0;
}

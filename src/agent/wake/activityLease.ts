/**
 * The Lease in which a node tells the others which Services that may sleep have connections there (coordination.k8s.io/v1). It stands
 * apart from the Lease of the load balancer: that one lives by the second.
 */
import { isRawObject } from '../../objects/read/FieldReader.js';
import type { Milliseconds } from '../../time/duration.js';

/** Selects these Leases among others. */
export const ACTIVITY_LABEL = { key: 'penstock.io/component', value: 'wake' } as const;
const ACTIVE = 'penstock.io/active';
/** As in RFC 1123, and the longest name that an object may have. */
const LONGEST_NAME = 253;
/** Annotations of an object have 256 KiB; a name of 127 bytes and its figures fit in 160. */
const MOST_SERVICES = 1500;

/** How often it is renewed, and how long after its last change a node counts as gone, with its connections. */
export const RENEW_MS: Milliseconds = 20_000;
export const GONE_MS: Milliseconds = 70_000;

/** What a node has for a Service. */
export interface Activity {
  /** Open, of TCP; flows that the kernel knows, of UDP. */
  readonly connections: number;
  /** Somebody waits for an endpoint. */
  readonly waits: boolean;
}

/** By `namespace/name`. `everything`: there are too many to name. */
export type Activities = ReadonlyMap<string, Activity> | 'everything';

export function activityLeasePath(namespace: string): string {
  return `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
}

/** `penstock-wake.node1` */
export function activityLeaseName(node: string): string {
  return `penstock-wake.${node}`.slice(0, LONGEST_NAME);
}

export interface ActivityLeaseWriting {
  readonly node: string;
  readonly namespace: string;
  readonly activities: ReadonlyMap<string, Activity>;
  /** Milliseconds since the epoch, for people who read it. */
  readonly date: number;
}

/** The whole object: body of a POST, and as merge patch of a PATCH. */
export function writeActivityLease({ node, namespace, activities, date }: ActivityLeaseWriting): object {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: activityLeaseName(node),
      namespace,
      labels: { [ACTIVITY_LABEL.key]: ACTIVITY_LABEL.value },
      annotations: { [ACTIVE]: textOf(activities) },
    },
    spec: {
      holderIdentity: node,
      leaseDurationSeconds: GONE_MS / 1000,
      renewTime: new Date(date).toISOString().replace('Z', '000Z'),
    },
  };
}

function textOf(activities: ReadonlyMap<string, Activity>): string {
  if (activities.size > MOST_SERVICES) return '*';
  const entries = [...activities].map(([path, { connections, waits }]) => [
    path,
    { connections, ...(waits && { waits }) },
  ]);
  return JSON.stringify(Object.fromEntries(entries));
}

export interface ActivityLeaseRead {
  readonly node: string;
  readonly activities: Activities;
}

/** Undefined for what is no such Lease. What cannot be read in it counts as activity of everything: nothing is put to sleep on its word. */
export function readActivityLease(raw: unknown): ActivityLeaseRead | undefined {
  if (!isRawObject(raw) || !isRawObject(raw.metadata) || !isRawObject(raw.spec)) return undefined;
  const node = raw.spec.holderIdentity;
  // A node whose name has no such Lease has written into another's.
  if (typeof node !== 'string' || node === '' || raw.metadata.name !== activityLeaseName(node))
    return undefined;
  const { annotations } = raw.metadata;
  const text = isRawObject(annotations) ? annotations[ACTIVE] : undefined;
  return { node, activities: typeof text === 'string' ? readText(text) : 'everything' };
}

function readText(text: string): Activities {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'everything';
  }
  if (!isRawObject(value)) return 'everything';
  const activities = new Map<string, Activity>();
  for (const [path, each] of Object.entries(value)) {
    if (!isRawObject(each)) return 'everything';
    const { connections } = each;
    activities.set(path, {
      connections: typeof connections === 'number' && connections > 0 ? Math.floor(connections) : 0,
      waits: each.waits === true,
    });
  }
  return activities;
}

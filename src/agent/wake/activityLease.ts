/**
 * The Lease in which a node tells the others which Services that may sleep have connections there (coordination.k8s.io/v1). It stands
 * apart from the Lease of the load balancer: that one lives by the second.
 */
import { isRawObject } from '../../objects/read/FieldReader.js';
import { parseTimestamp } from '../../objects/read/readMetadata.js';
import type { Milliseconds } from '../../time/duration.js';

/** Selects these Leases among others. */
export const ACTIVITY_LABEL = { key: 'penstock.io/component', value: 'wake' } as const;
const ACTIVE = 'penstock.io/active';
/** As in RFC 1123, and the longest name that an object may have. */
const LONGEST_NAME = 253;
/** Annotations of an object have 256 KiB; a name of 127 bytes and its figures fit in 160. */
export const MOST_SERVICES = 1500;

/** How often it is renewed, and how long after its last change a node counts as gone, with its connections. */
export const RENEW_MS: Milliseconds = 20_000;
export const GONE_MS: Milliseconds = 70_000;
/** In place of a Service: what is not named is not known. No Service has such a name. */
const UNKNOWN = '?';

/** What a node has for a Service. */
export interface Activity {
  /** Open, of TCP; flows that the kernel knows, of UDP. A safe integer. */
  readonly connections: number;
  /** Somebody waits for an endpoint. */
  readonly waits: boolean;
}

export interface Activities {
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, Activity>;
  /**
   * What it says of the others: that they have nothing; that it is not known, as the node has not looked yet; or that they count as
   * active, with nobody knows how many connections, as there are too many to name.
   */
  readonly others: 'nothing' | 'unknown' | 'active';
}

export const EVERYTHING: Activities = { services: new Map(), others: 'active' };

export function activityLeasePath(namespace: string): string {
  return `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
}

/** `penstock-wake.node1` */
export function activityLeaseName(node: string): string {
  return `penstock-wake.${node}`.slice(0, LONGEST_NAME);
}

export interface ActivityLeaseWriting {
  readonly node: string;
  /** Of the Node object: with it the Lease goes when the node is deleted. Undefined: it stays. */
  readonly nodeUid: string | undefined;
  readonly namespace: string;
  /** With MOST_SERVICES at most. */
  readonly activities: Activities;
  /** Milliseconds since the epoch. */
  readonly date: number;
}

/** The whole object: body of a POST, and as merge patch of a PATCH. */
export function writeActivityLease(writing: ActivityLeaseWriting): object {
  const { node, nodeUid, namespace, activities, date } = writing;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: activityLeaseName(node),
      namespace,
      labels: { [ACTIVITY_LABEL.key]: ACTIVITY_LABEL.value },
      annotations: { [ACTIVE]: textOf(activities) },
      ...(nodeUid !== undefined && {
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: node, uid: nodeUid }],
      }),
    },
    spec: {
      holderIdentity: node,
      leaseDurationSeconds: GONE_MS / 1000,
      renewTime: new Date(date).toISOString().replace('Z', '000Z'),
    },
  };
}

function textOf({ services, others }: Activities): string {
  if (others === 'active') return '*';
  const entries: (readonly [string, object])[] = [...services].map(([path, { connections, waits }]) => [
    path,
    { connections, ...(waits && { waits }) },
  ]);
  if (others === 'unknown') entries.unshift([UNKNOWN, {}]);
  return JSON.stringify(Object.fromEntries(entries));
}

/** The name of any object. '' when it has none. */
export function leaseNameIn(raw: unknown): string {
  const metadata = isRawObject(raw) && isRawObject(raw.metadata) ? raw.metadata : {};
  return typeof metadata.name === 'string' ? metadata.name : '';
}

export interface ActivityLeaseRead {
  readonly node: string;
  /** '' when it has none. */
  readonly version: string;
  readonly activities: Activities;
  /** Milliseconds since the epoch, on the node's clock. Undefined: it does not say, or not so that it can be read. */
  readonly renewed: number | undefined;
}

/** Undefined for what is no such Lease. What cannot be read in it counts as activity of everything: nothing is put to sleep on its word. */
export function readActivityLease(raw: unknown): ActivityLeaseRead | undefined {
  if (!isRawObject(raw) || !isRawObject(raw.metadata) || !isRawObject(raw.spec)) return undefined;
  const { holderIdentity: node, renewTime } = raw.spec;
  // A node whose name has no such Lease has written into another's.
  if (typeof node !== 'string' || node === '' || raw.metadata.name !== activityLeaseName(node))
    return undefined;
  const { annotations, resourceVersion } = raw.metadata;
  const text = isRawObject(annotations) ? annotations[ACTIVE] : undefined;
  return {
    node,
    version: typeof resourceVersion === 'string' ? resourceVersion : '',
    activities: typeof text === 'string' ? readText(text) : EVERYTHING,
    renewed: typeof renewTime === 'string' ? parseTimestamp(renewTime) : undefined,
  };
}

function readText(text: string): Activities {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return EVERYTHING;
  }
  if (!isRawObject(value)) return EVERYTHING;
  const services = new Map<string, Activity>();
  for (const [path, each] of Object.entries(value)) {
    if (path === UNKNOWN) continue;
    if (!isRawObject(each) || !isCount(each.connections)) return EVERYTHING;
    services.set(path, { connections: each.connections, waits: each.waits === true });
  }
  return { services, others: Object.hasOwn(value, UNKNOWN) ? 'unknown' : 'nothing' };
}

/** JSON has numbers that are none: 1e999 is Infinity. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Leases of nodes as a watch hands them over, and how the API server is heard. */
import { writeActivityLease } from '../../src/agent/wake/activityLease.js';
import { ClusterActivity } from '../../src/agent/wake/ClusterActivity.js';
import { LeaseKnowledge } from '../../src/agent/wake/LeaseKnowledge.js';
import type { LeaseChange } from '../../src/balancer/membership/LeaseStore.js';
import type { FakeClock } from './FakeClock.js';

export interface TestLease {
  readonly version?: number;
  readonly connections?: number;
  readonly waits?: boolean;
  /** Milliseconds since the epoch. */
  readonly date?: number;
  /** In place of what such a node would write. */
  readonly text?: string;
}

let versions = 1000;

/** Of Service shop/web; without figures the node has nothing of it. */
export function upsert(node: string, lease: TestLease & { readonly date: number }): LeaseChange {
  const { version = ++versions, connections, waits = false, date, text } = lease;
  const isThere = connections !== undefined || waits;
  const services = new Map(isThere ? [['shop/web', { connections: connections ?? 0, waits }]] : []);
  const raw = writeActivityLease({
    node,
    nodeUid: undefined,
    namespace: 'kube-system',
    activities: { services, others: 'nothing' },
    date,
  }) as { metadata: { annotations: object; resourceVersion?: string } };
  raw.metadata.resourceVersion = String(version);
  if (text !== undefined) raw.metadata.annotations = { 'penstock.io/active': text };
  return { type: 'upsert', raw };
}

/** What a scaler or an agent knows; the Leases were read unless told otherwise. The API server is heard all the time. */
export function testActivity(clock: FakeClock, onChange: () => void = () => {}, isRead = true) {
  let contact = { connected: true, heardAt: undefined as number | undefined };
  const knowledge = new LeaseKnowledge(clock, () => ({
    connected: contact.connected,
    silentForMs: contact.heardAt === undefined ? 0 : clock.now() - contact.heardAt,
  }));
  if (isRead) knowledge.read();
  const view = new ClusterActivity(clock, knowledge, onChange);
  return {
    view,
    knowledge,
    put: (node: string, lease: TestLease) => view.take([upsert(node, { date: clock.date(), ...lease })]),
    /** The watch is there, fails, or says nothing any more. */
    become: (state: 'there' | 'away' | 'silent') => {
      knowledge.observe();
      contact = { connected: state !== 'away', heardAt: state === 'there' ? undefined : clock.now() };
      knowledge.observe();
    },
  };
}

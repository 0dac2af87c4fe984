/** Tells other nodes which Services have connections here, and hears of theirs, by a Lease of each node. */
import type { Logger } from 'pino';
import { LeaseStore } from '../../balancer/membership/LeaseStore.js';
import { Outage, type SourceLog } from '../../kubernetes/contact/Outage.js';
import type { ApiServer } from '../../kubernetes/openApiServer.js';
import { WatchGroup } from '../../kubernetes/watch/WatchGroup.js';
import type { Clock } from '../../time/Clock.js';
import { ActivityWriter } from './ActivityWriter.js';
import { ACTIVITY_LABEL, activityLeasePath } from './activityLease.js';
import { ClusterActivity } from './ClusterActivity.js';

export interface WatchActivityOptions {
  readonly api: ApiServer;
  readonly namespace: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: SourceLog;
  /** What an API server that is away means. */
  readonly consequence: string;
  readonly onChange?: () => void;
  /** The Leases were read once. */
  readonly onComplete?: () => void;
}

/** What all nodes say, for whoever wants to know. */
export function watchActivity(options: WatchActivityOptions): {
  readonly view: ClusterActivity;
  readonly stop: () => Promise<void>;
} {
  const { api, namespace, clock, random, log, consequence, onChange, onComplete } = options;
  const view = new ClusterActivity(clock, onChange);
  const resource = {
    title: 'Leases of Services that may sleep',
    path: activityLeasePath(namespace),
    query: { labelSelector: `${ACTIVITY_LABEL.key}=${ACTIVITY_LABEL.value}` },
    optional: false,
  };
  const watches = new WatchGroup(
    [{ resource, store: new LeaseStore(), events: { changes: (changes) => view.take(changes) } }],
    {
      transport: api,
      outage: new Outage(clock, api.server, log, () => consequence),
      clock,
      random,
      ...(onComplete && { onComplete }),
    },
  );
  watches.start();
  return { view, stop: () => watches.stop() };
}

export interface SharedActivity {
  /** What a look has found. */
  readonly looked: (connections: ReadonlyMap<string, number>) => void;
  readonly waits: (path: string) => void;
  /** Also as long as nobody knows what other nodes have: this node's own Lease must come back. */
  readonly isActiveElsewhere: (path: string) => boolean;
  /** Whether this node tells for all. */
  readonly leads: () => boolean;
  readonly stop: () => Promise<void>;
}

export function shareActivity(options: {
  readonly api: ApiServer;
  readonly namespace: string;
  readonly node: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}): SharedActivity {
  const { node, log } = options;
  let isKnown = false;
  const { view, stop } = watchActivity({
    ...options,
    consequence: 'Services that may sleep are not said to be idle.',
    onComplete: () => {
      isKnown = true;
    },
  });
  const writer = new ActivityWriter({
    ...options,
    onTrouble: (why) =>
      why === undefined
        ? log.info('other nodes are told again which Services have connections here')
        : log.warn(`other nodes are not told which Services have connections here: ${why}`),
  });
  return {
    looked: (connections) => writer.looked(connections),
    waits: (path) => writer.waits(path),
    isActiveElsewhere: (path) => !isKnown || !view.sees(node) || view.of(path, node) !== undefined,
    leads: () => view.leads(node),
    stop: async () => {
      await Promise.all([writer.stop(), stop()]);
    },
  };
}

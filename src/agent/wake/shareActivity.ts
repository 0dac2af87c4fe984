/** Tells other nodes which Services have connections here, and hears of theirs, by a Lease of each node. */
import type { Logger } from 'pino';
import { type LeaseChange, LeaseStore } from '../../balancer/membership/LeaseStore.js';
import { Outage, type SourceLog } from '../../kubernetes/contact/Outage.js';
import type { ApiServer } from '../../kubernetes/openApiServer.js';
import { WatchGroup } from '../../kubernetes/watch/WatchGroup.js';
import { type Clock, every } from '../../time/Clock.js';
import type { Milliseconds } from '../../time/duration.js';
import { ActivityWriter } from './ActivityWriter.js';
import { ACTIVITY_LABEL, activityLeasePath } from './activityLease.js';
import { ClusterActivity } from './ClusterActivity.js';
import { LeaseKnowledge } from './LeaseKnowledge.js';

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

const OBSERVE_MS: Milliseconds = 5000;

/** What all nodes say, for whoever wants to know. */
export function watchActivity(options: WatchActivityOptions): {
  readonly view: ClusterActivity;
  readonly stop: () => Promise<void>;
} {
  const { api, namespace, clock, random, log, consequence, onChange, onComplete } = options;
  const knowledge = new LeaseKnowledge(
    clock,
    () => watches.contacts[0]?.state() ?? { connected: false, silentForMs: undefined },
  );
  const view = new ClusterActivity(clock, knowledge, onChange);
  const resource = {
    title: 'Leases of Services that may sleep',
    path: activityLeasePath(namespace),
    query: { labelSelector: `${ACTIVITY_LABEL.key}=${ACTIVITY_LABEL.value}` },
    optional: false,
  };
  const watches: WatchGroup<LeaseChange> = new WatchGroup(
    [{ resource, store: new LeaseStore(), events: { changes: (changes) => view.take(changes) } }],
    {
      transport: api,
      outage: new Outage(clock, api.server, log, () => consequence),
      clock,
      random,
      onComplete: () => {
        knowledge.read();
        onComplete?.();
      },
    },
  );
  const endObserving = every(clock, OBSERVE_MS, () => knowledge.observe());
  watches.start();
  return {
    view,
    stop: () => {
      endObserving();
      return watches.stop();
    },
  };
}

export interface SharedActivity {
  /** What a look has found. Undefined: the kernel did not tell. */
  readonly looked: (connections: ReadonlyMap<string, number> | undefined) => void;
  readonly waits: (path: string) => void;
  /** Also as long as it is not certain what other nodes have: this node's own Lease must come back. */
  readonly isActiveElsewhere: (path: string) => boolean;
  /** Whether this node tells for all. */
  readonly leads: () => boolean;
  readonly stop: () => Promise<void>;
}

export function shareActivity(options: {
  readonly api: ApiServer;
  readonly namespace: string;
  readonly node: string;
  readonly nodeUid?: () => string | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}): SharedActivity {
  const { node, log } = options;
  const { view, stop } = watchActivity({
    ...options,
    consequence: 'Services that may sleep are not said to be idle.',
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
    isActiveElsewhere: (path) => !view.sees(node) || view.of(path, node).active !== false,
    leads: () => view.leads(node),
    stop: async () => {
      await Promise.all([writer.stop(), stop()]);
    },
  };
}

/** The Leases of an API server: renews that of this node and follows all. */
import type { Outage } from '../../kubernetes/contact/Outage.js';
import type { ApiTransport } from '../../kubernetes/http/ApiTransport.js';
import type { WatchedPath } from '../../kubernetes/watch/resources.js';
import { WatchGroup } from '../../kubernetes/watch/WatchGroup.js';
import { type LeaseApi, LeaseMembership, type LeaseMembershipOptions } from './LeaseMembership.js';
import { LeaseStore } from './LeaseStore.js';
import { LEASE_LABEL } from './leases.js';

export interface LeaseMembershipHandle {
  readonly membership: LeaseMembership;
  stop(): Promise<void>;
}

export function openLeaseMembership(
  options: Omit<LeaseMembershipOptions, 'api'> & {
    readonly api: LeaseApi & ApiTransport;
    readonly outage: Outage;
  },
): LeaseMembershipHandle {
  const { api, namespace, clock, random, outage } = options;
  const resource: WatchedPath = {
    title: 'Leases of the balancer',
    path: `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
    query: { labelSelector: `${LEASE_LABEL.key}=${LEASE_LABEL.value}` },
    optional: false,
  };
  const membership = new LeaseMembership(options);
  const watches = new WatchGroup(
    [
      {
        resource,
        store: new LeaseStore(),
        events: {
          changes: (batch) => {
            for (const { type, raw } of batch) {
              if (type === 'upsert') membership.upsert(raw);
              else membership.remove(raw);
            }
          },
        },
      },
    ],
    { transport: api, outage, clock, random },
  );
  watches.start();
  membership.start();
  return {
    membership,
    stop: async () => {
      await Promise.all([membership.stop(), watches.stop()]);
    },
  };
}

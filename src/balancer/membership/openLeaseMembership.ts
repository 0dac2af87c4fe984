/** The Leases of an API server: renews that of this node and follows all. */
import { Contact } from '../../kubernetes/contact/Contact.js';
import type { Outage } from '../../kubernetes/contact/Outage.js';
import type { ApiTransport } from '../../kubernetes/http/ApiTransport.js';
import { Turns } from '../../kubernetes/http/Turns.js';
import { InitialEvents } from '../../kubernetes/watch/InitialEvents.js';
import { Reflector } from '../../kubernetes/watch/Reflector.js';
import type { WatchedPath } from '../../kubernetes/watch/resources.js';
import { type LeaseApi, LeaseMembership, type LeaseMembershipOptions } from './LeaseMembership.js';
import { LeaseStore } from './LeaseStore.js';
import { LEASE_LABEL } from './leases.js';

export interface LeaseMembershipHandle {
  readonly membership: LeaseMembership;
  readonly contact: Contact;
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
  const contact = new Contact(resource, clock, outage);
  const reflector = new Reflector({
    resource,
    store: new LeaseStore(),
    transport: api,
    clock,
    random,
    turns: new Turns(),
    initialEvents: new InitialEvents(),
    contact,
    events: {
      changes: (batch) => {
        for (const { type, raw } of batch) {
          if (type === 'upsert') membership.upsert(raw);
          else membership.remove(raw);
        }
      },
      complete: () => {},
      problemsChanged: () => {},
    },
  });
  reflector.start();
  membership.start();
  return {
    membership,
    contact,
    stop: async () => {
      await Promise.all([membership.stop(), reflector.stop()]);
    },
  };
}

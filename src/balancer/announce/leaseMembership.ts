/** The nodes as their Leases tell, on an API server. */
import type { Outage } from '../../kubernetes/contact/Outage.js';
import type { ApiTransport } from '../../kubernetes/http/ApiTransport.js';
import type { Clock } from '../../time/Clock.js';
import { LEASE_MS, type LeaseApi } from '../membership/LeaseMembership.js';
import { openLeaseMembership } from '../membership/openLeaseMembership.js';
import type { OpenMembership } from './Membership.js';

export interface LeaseMembershipSettings {
  readonly api: LeaseApi & ApiTransport;
  readonly outage: Outage;
  readonly namespace: string;
  readonly node: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly wallClock: () => number;
  readonly onDeaf: (deaf: boolean) => void;
  readonly onTrouble: (why: string | undefined) => void;
}

export function leaseMembership(settings: LeaseMembershipSettings): OpenMembership {
  return ({ facts, heard, onView, onFresh, now }) => {
    // Before the Leases have been read every other node is a stranger.
    let settled = false;
    const handle = openLeaseMembership({
      ...settings,
      facts,
      heard,
      onView: (view) => {
        settled ||= view.connected;
        onView(view);
      },
      now,
      onRenewed: (sentAt) => onFresh(sentAt + LEASE_MS),
    });
    return {
      get settled() {
        return settled;
      },
      factsChanged: () => handle.membership.factsChanged(),
      heard: () => handle.membership.peerHeard(),
      leave: () => handle.membership.leave(),
      stop: () => handle.stop(),
    };
  };
}

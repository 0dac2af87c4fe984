/** Departure with this host behind it. */

import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import type { Mode } from '../../explain/World.js';
import type { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import type { IpAddress } from '../../net/ip.js';
import type { EventRecorder } from '../../observe/events/EventRecorder.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Clock } from '../../time/Clock.js';
import type { Agent } from '../Agent.js';
import type { LeavingHost } from '../NodeHost.js';
import { Departure } from './Departure.js';

export interface DepartureHost {
  readonly config: NodeConfig;
  readonly inMode: (mode: Mode) => NodeConfig;
  readonly table: RoutingTable;
  readonly hostAddresses: () => readonly IpAddress[];
  readonly sysctls: Sysctls;
  readonly leaving: LeavingHost;
  readonly agent: () => Agent;
  /** Lets go of what another proxy needs: ports. */
  readonly release: () => void;
  readonly serveAgain: () => void;
  /** It is no longer asked to leave, and has served all the time. */
  readonly onStay: () => Promise<void>;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
}

export function openDeparture(host: DepartureHost): Departure {
  const { config, agent, sysctls, release, leaving } = host;
  const own = config.mode || 'nftables';
  const chains = leaving.sharedChains(config.iptablesBackend);
  return new Departure({
    ...host,
    isComplete: () => agent().isComplete,
    hasNote: leaving.hasNote,
    readOther: leaving.readOther,
    holdRepairs: () => agent().holdRepairs(true),
    chainsAreTheirs: () => chains.areTheirs(agent().fullSyncs),
    stay: async () => {
      await chains.forget();
      agent().holdRepairs(false);
      await host.onStay();
    },
    leave: async (theirs) => {
      await agent().retire();
      await leaving.removeOwn(own, theirs, sysctls);
      release();
    },
  });
}

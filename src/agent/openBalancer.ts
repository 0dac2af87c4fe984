/** The load balancer of this node's agent: announces addresses, tells of it in log and Events, and keeps nobody from being served. */
import type { Logger } from 'pino';
import type { AnnouncerApi, AnnouncerHandle } from '../balancer/announce/openAnnouncer.js';
import type { AnnouncerReport } from '../balancer/announce/report.js';
import { removeTiers } from '../balancer/tiers/removeTiers.js';
import type { NodeConfig } from '../config/NodeConfig.js';
import { messageOf } from '../errors.js';
import type { World } from '../explain/World.js';
import type { EventRecorder } from '../observe/events/EventRecorder.js';
import {
  type AddressOccurrence,
  aboutService,
  addressAnnounced,
  addressConflict,
  addressRefused,
} from '../observe/events/occurrences.js';
import type { RoutingTable } from '../routing/RoutingTable.js';
import type { Clock } from '../time/Clock.js';
import type { AgentOptions } from './Agent.js';

export interface BalancerOptions {
  readonly config: NodeConfig;
  readonly table: RoutingTable;
  readonly api: AnnouncerApi | undefined;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface BalancerHandle {
  readonly follower: AgentOptions['follower'];
  readonly ledOn: NonNullable<World['ledOn']>;
  /** The first sync has succeeded. */
  serving(): void;
  /** Or why there is nothing to report. */
  report(): AnnouncerReport | string;
  /** `isSucceeded`: another process on this node carries on. */
  close(isSucceeded?: boolean): Promise<void>;
}

/** Of the Services that share an address, in a line of the log. */
const NAMED = 5;

/** What cannot be had is said, and Services are served all the same. */
export async function openBalancer(options: BalancerOptions): Promise<BalancerHandle> {
  const { config, log } = options;
  if (!config.loadBalancer.announce) {
    await removeLeftTables(log);
    return without('penstock.loadBalancer.announce is false');
  }
  try {
    return follow(await open(options));
  } catch (error) {
    log.error({ err: error }, `this node cannot announce addresses: ${messageOf(error)}`);
    return without(messageOf(error));
  }
}

function without(why: string): BalancerHandle {
  return {
    follower: undefined,
    ledOn: () => undefined,
    serving: () => {},
    report: () => why,
    close: async () => {},
  };
}

async function removeLeftTables(log: Logger): Promise<void> {
  try {
    for (const table of await removeTiers('remove')) log.info(`removed what announcing left: table ${table}`);
  } catch (error) {
    log.warn({ err: error }, `tables of the load balancer may be left: ${messageOf(error)}`);
  }
}

async function open({
  config,
  table,
  api,
  events,
  clock,
  random,
  log,
}: BalancerOptions): Promise<AnnouncerHandle> {
  const node = config.nodeName;
  /** In the log once, and as an Event of each Service. */
  const tell = (services: readonly string[], occurrence: AddressOccurrence) => {
    const some = [...services.slice(0, NAMED), ...(services.length > NAMED ? ['…'] : [])].join(', ');
    const line = some === '' ? occurrence.note : `${occurrence.note} (Service ${some})`;
    log[occurrence.type === 'Normal' ? 'info' : 'warn'](line);
    for (const service of services) events.record(aboutService(service, occurrence));
  };
  // Most nodes announce nothing, and need none of it.
  const { openAnnouncer } = await import('../balancer/announce/openAnnouncer.js');
  return openAnnouncer({
    config,
    table,
    api,
    clock,
    random,
    wallClock: () => clock.date(),
    log,
    listener: {
      announcing: (address, device, announces, peer, services) =>
        tell(services, addressAnnounced(node, address, device, announces, peer)),
      conflict: (address, device, mac, services) =>
        tell(services, addressConflict(node, address, device, mac)),
      refused: (address, service, why) => tell([service], addressRefused(node, address, why)),
    },
  });
}

function follow(handle: AnnouncerHandle): BalancerHandle {
  const { announcer, objects } = handle;
  let complete = false;
  return {
    follower: {
      changes: (batch) => announcer.objectsChanged(batch),
      others: (list) => {
        objects.replace(list);
        announcer.changed();
      },
      complete: () => {
        complete = true;
      },
      committed: (changes) => {
        announcer.committed(changes);
        // Before the table says whose they are no address is announced, and nothing that was left is taken away.
        if (complete) handle.servicesComplete();
      },
    },
    ledOn: (address, protocol, port) => announcer.ledOn(address, protocol, port),
    serving: () => announcer.serving(),
    report: () => announcer.report(),
    close: (isSucceeded) => handle.close(isSucceeded),
  };
}

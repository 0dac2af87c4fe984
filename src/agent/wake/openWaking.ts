/** Opens what acts on first packets that wait and on Services that are idle. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import type { WakeListener } from '../../dataplane/wake/Holder.js';
import { Conntrack } from '../../kernel/conntrack/Conntrack.js';
import { NetlinkProtocol } from '../../kernel/netlink/constants.js';
import { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import type { ApiServer } from '../../kubernetes/openApiServer.js';
import type { EventRecorder } from '../../observe/events/EventRecorder.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Clock } from '../../time/Clock.js';
import { IdleWatch } from './IdleWatch.js';
import { postJson } from './postJson.js';
import { scaleWorkload } from './scaleWorkload.js';
import { shareActivity } from './shareActivity.js';
import { systemctl } from './systemctl.js';
import { Waking } from './Waking.js';

export interface OpenWakingOptions {
  readonly config: NodeConfig;
  readonly table: Pick<RoutingView, 'servicePorts' | 'nodeObject'>;
  readonly events: EventRecorder;
  /** Undefined: objects come from manifests alone. */
  readonly apiServer: ApiServer | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

/** A dump waits for us in it: 40,000 connections are 10 MB. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

export function openWaking({ config, table, events, apiServer, clock, random, log }: OpenWakingOptions): {
  readonly listener: WakeListener;
  readonly close: () => Promise<void>;
} {
  if (config.wake.scale && apiServer === undefined)
    log.warn('penstock.wake.scale does nothing: there is no API server that has workloads');
  if (config.wake.share && apiServer === undefined)
    log.warn('penstock.wake.share does nothing: there is no API server that keeps Leases');
  const shared =
    config.wake.share && apiServer
      ? shareActivity({
          api: apiServer,
          namespace: config.loadBalancer.leaseNamespace,
          node: config.nodeName,
          nodeUid: () => table.nodeObject?.uid,
          clock,
          random,
          log,
        })
      : undefined;
  const waking = new Waking({
    node: config.nodeName,
    config: config.wake,
    systemctl,
    scale: config.wake.scale && apiServer ? scaleWorkload(apiServer, clock) : undefined,
    post: postJson(clock),
    ...(shared && { leads: shared.leads }),
    events,
    clock,
    log,
  });
  // Nobody pays for it who has no Service with idle-after.
  let channel: NetlinkChannel | undefined;
  const watch = new IdleWatch({
    servicePorts: (family) => table.servicePorts(family).values(),
    eachConnection: (take) => {
      channel ??= NetlinkChannel.open(NetlinkProtocol.NETFILTER, {
        receiveBufferBytes: RECEIVE_BUFFER_BYTES,
        clock,
      });
      return new Conntrack(channel).each(undefined, (entry) => {
        take(entry);
        return true;
      });
    },
    ...(shared && { onLooked: shared.looked, isActiveElsewhere: shared.isActiveElsewhere }),
    onIdle: (port) => waking.idle(port),
    clock,
  });
  return {
    listener: {
      wanted: (port) => {
        shared?.waits(`${port.namespace}/${port.service}`);
        waking.wanted(port);
      },
      timedOut: (port) => waking.timedOut(port),
    },
    close: async () => {
      watch.stop();
      channel?.close();
      await shared?.stop();
    },
  };
}

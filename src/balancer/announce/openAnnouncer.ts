/** The announcer of a node, with what it needs of the kernel, and its objects from an API server or from manifests. */
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { PenstockError } from '../../errors.js';
import { nativeAddon } from '../../kernel/addon/nativeAddon.js';
import type { NetlinkChannel } from '../../kernel/netlink/NetlinkChannel.js';
import { openNftablesChannel } from '../../kernel/nftables/table/openNftablesChannel.js';
import { InterfaceWatch } from '../../kernel/routes/InterfaceWatch.js';
import { Sysctls } from '../../kernel/sysctl/Sysctls.js';
import { Outage } from '../../kubernetes/contact/Outage.js';
import type { ApiTransport } from '../../kubernetes/http/ApiTransport.js';
import { readObject } from '../../kubernetes/http/readObject.js';
import { objectName } from '../../objects/ApiObject.js';
import { isRawObject } from '../../objects/read/FieldReader.js';
import type { Clock } from '../../time/Clock.js';
import { openTcp } from '../bgp/openTcp.js';
import { QuietKernel } from '../layer2/QuietKernel.js';
import type { LeaseApi } from '../membership/LeaseMembership.js';
import { TierTables } from '../tiers/TierTables.js';
import { AnnouncementObjects } from './AnnouncementObjects.js';
import { Announcer, type AnnouncerListener, type AnnouncerOptions } from './Announcer.js';
import { leaseMembership } from './leaseMembership.js';
import { configuredMembership } from './Membership.js';
import { askMachine } from './SilentNodes.js';
import { watchAnnouncements } from './watchAnnouncements.js';

export type AnnouncerApi = LeaseApi & ApiTransport;

export interface OpenAnnouncerOptions {
  readonly config: NodeConfig;
  readonly table: AnnouncerOptions['table'];
  /** Undefined: manifests are read, and the nodes are those of the configuration. */
  readonly api: AnnouncerApi | undefined;
  readonly listener: AnnouncerListener;
  readonly clock: Clock;
  readonly random: () => number;
  readonly wallClock: () => number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

export interface AnnouncerHandle {
  readonly announcer: Announcer;
  /** Where manifests put what is none of the agent's own kinds. */
  readonly objects: AnnouncementObjects;
  /** Services, slices and Nodes have been read once. */
  servicesComplete(): void;
  /** `isSucceeded`: another process on this node carries on. */
  close(isSucceeded?: boolean): Promise<void>;
}

/** Heartbeats each 200 ms; five lost in a row. */
const HEARTBEAT = { everyMs: 200, lost: 5 } as const;

/** Rejects with what cannot be had of the kernel; nothing is open then. */
export async function openAnnouncer(options: OpenAnnouncerOptions): Promise<AnnouncerHandle> {
  const { config, table, api, listener, clock, random, wallClock, log } = options;
  const { loadBalancer, nodeName } = config;
  const objects = new AnnouncementObjects();
  const interfaceWatch = await InterfaceWatch.open();
  let channel: NetlinkChannel | undefined;
  let announcer: Announcer | undefined;
  const outage = new Outage(clock, api?.server ?? '', log, () => 'Addresses stay where they are announced.');
  try {
    channel = loadBalancer.twoTiers ? openNftablesChannel() : undefined;
    const opened: Announcer = new Announcer({
      node: nodeName,
      interfaces: loadBalancer.interfaces,
      ignoreExcludeLabel: loadBalancer.ignoreExcludeLabel,
      table,
      objects,
      openMembership:
        api === undefined
          ? configuredMembership(nodeName, loadBalancer.nodes, clock, () => opened.changed())
          : leaseMembership({
              api,
              outage,
              namespace: loadBalancer.leaseNamespace,
              node: nodeName,
              clock,
              random,
              wallClock,
              onDeaf: (deaf) =>
                deaf
                  ? log.warn(
                      `no heartbeat of the other nodes comes in, though their Leases run, so this node comes last for every address: see whether its cable receives, and whether UDP port ${loadBalancer.heartbeatPort} is open`,
                    )
                  : log.info('heartbeats of the other nodes come in again'),
              onTrouble: (why) =>
                why === undefined
                  ? log.info('the Lease of this node is renewed again')
                  : log.warn(
                      `the Lease of this node cannot be renewed, so it keeps what it announces and takes nothing new: ${why}`,
                    ),
            }),
      openResponder: (onEvents) =>
        new (nativeAddon().AnnounceResponder)(
          { node: nodeName, port: loadBalancer.heartbeatPort, ...HEARTBEAT },
          onEvents,
        ),
      endsWithAgent: config.mode === 'userspace',
      mayFollow: config.mode === 'userspace' && config.userspace.takeover,
      openBfd: (onChanges) => new (nativeAddon().BfdEngine)(onChanges),
      openTcp: (tcp) => openTcp(tcp, clock),
      password: api && ((namespace, name) => readPassword(api, clock, namespace, name)),
      tierTables: channel && new TierTables(channel),
      quietKernel: new QuietKernel(new Sysctls(), log),
      askMachine: askMachine(loadBalancer.heartbeatPort),
      interfaceWatch,
      listener,
      clock,
      random,
      log,
    });
    announcer = opened;
  } catch (error) {
    interfaceWatch.close();
    channel?.close();
    throw error;
  }
  const ready = announcer;
  let servicesComplete = false;
  let objectsComplete = api === undefined;
  const step = () => {
    if (servicesComplete && objectsComplete) ready.complete();
  };
  const watch =
    api &&
    watchAnnouncements({
      api,
      outage,
      objects,
      clock,
      random,
      onChange: () => ready.changed(),
      onComplete: () => {
        objectsComplete = true;
        step();
      },
    });
  return {
    announcer: ready,
    objects,
    servicesComplete: () => {
      servicesComplete = true;
      step();
    },
    close: async (isSucceeded) => {
      await ready.close(isSucceeded);
      await watch?.stop();
      outage.stop();
      channel?.close();
    },
  };
}

const PASSWORD_REMEDY = 'A Secret with the key password, and the Role of deploy/balancer.';

/** `password` of a Secret of type kubernetes.io/basic-auth, as MetalLB has it. */
async function readPassword(
  api: AnnouncerApi,
  clock: Clock,
  namespace: string,
  name: string,
): Promise<string> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(name)}`;
  const what = objectName({ kind: 'Secret', namespace, name });
  const secret = await readObject(api, path, what, PASSWORD_REMEDY, clock);
  if (secret === undefined) throw unusable(`there is no ${what}`);
  const data = isRawObject(secret) && isRawObject(secret.data) ? secret.data.password : undefined;
  if (typeof data !== 'string') throw unusable(`${what} has no key "password"`);
  return Buffer.from(data, 'base64').toString();
}

function unusable(why: string): PenstockError {
  return new PenstockError('PENSTOCK_API_BROKEN', why, { remedy: PASSWORD_REMEDY });
}

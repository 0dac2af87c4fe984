/**
 * A node that nobody serves yet: the VIPs of the API server and of the DNS, before everything has been read. What is written so has only
 * what is certain without the rest: cluster IPs, which are nobody else's, of Services whose endpoints are all known and
 * serve. It refuses and drops nothing of others, stands behind the rules of another proxy, and the first sync adopts it.
 */
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/NodeConfig.js';
import type { Dataplane } from '../dataplane/Dataplane.js';
import { messageOf } from '../errors.js';
import type { ApiTransport } from '../kubernetes/http/ApiTransport.js';
import { readUrgent } from '../kubernetes/watch/readUrgent.js';
import type { ObjectChange } from '../objects/ApiObject.js';
import type { NodeFacts } from '../routing/NodeFacts.js';
import type { RoutingTable } from '../routing/RoutingTable.js';
import type { Milliseconds } from '../time/duration.js';
import { makeTable } from './makeTable.js';
import type { NodeHost } from './NodeHost.js';

export interface ServeEarlyOptions {
  readonly config: NodeConfig;
  /** Undefined without an API server: then everything is read in no time. */
  readonly apiServer: ApiTransport | undefined;
  readonly hostAddresses: NodeFacts['addresses'];
  readonly dataplane: Pick<Dataplane, 'isUnserved' | 'serveEarly'>;
  /** Makes the host ready, once. */
  readonly prepare: () => Promise<void>;
  readonly host: Pick<NodeHost, 'clock'> & { readonly leaving: Pick<NodeHost['leaving'], 'hasNote'> };
  readonly log: Pick<Logger, 'info' | 'debug'>;
}

/** How often the lists are read again: whoever waits long for the rest must not be led to endpoints of then. */
const AGAIN_MS: Milliseconds = 12_000;

/**
 * Serves, and goes on to follow what changes until the result is called: that resolves when nothing is written any more. Rejects when
 * the host cannot be made ready; all else that fails leaves the work to the next time and to the first sync.
 */
export async function serveEarly(options: ServeEarlyOptions): Promise<() => Promise<void>> {
  const { dataplane, prepare, host, log } = options;
  const failed = (error: unknown) =>
    log.debug({ err: error }, `nothing is served before everything has been read: ${messageOf(error)}`);
  const reading = new AbortController();
  const write = async (table: RoutingTable) => dataplane.serveEarly?.(table).catch(failed);
  const first = (await mayServe(options).catch(failed)) ? await tableOf(options).catch(failed) : undefined;
  if (!first) return async () => {};
  await prepare();
  const served = await write(first);
  if (!served || served.length === 0) return async () => {};
  log.info(`served before all else has been read: ${served.join(', ')}`);
  let writing: Promise<unknown> = Promise.resolve();
  const again = async () => {
    const table = await tableOf(options, reading.signal).catch(failed);
    if (reading.signal.aborted) return;
    if (table) {
      writing = write(table);
      await writing;
    }
    if (!reading.signal.aborted) cancel = host.clock.after(AGAIN_MS, again);
  };
  let cancel = host.clock.after(AGAIN_MS, again);
  return async () => {
    reading.abort();
    cancel();
    await writing;
  };
}

async function mayServe({ config, apiServer, dataplane, host }: ServeEarlyOptions): Promise<boolean> {
  if (apiServer === undefined || config.externalBalancer.serve) return false;
  // Whoever is asked to leave may not write before it is known what another proxy serves.
  if (config.leave || host.leaving.hasNote()) return false;
  return dataplane.serveEarly !== undefined && (await dataplane.isUnserved?.()) === true;
}

/** Undefined when nothing is to be served, or when it cannot be read. */
async function tableOf(
  { config, apiServer, hostAddresses, host }: ServeEarlyOptions,
  signal?: AbortSignal,
): Promise<RoutingTable | undefined> {
  if (apiServer === undefined || host.leaving.hasNote()) return undefined;
  const { nodeName, serviceProxyName } = config;
  const { clock } = host;
  const changes = await readUrgent({ transport: apiServer, nodeName, serviceProxyName, clock, signal });
  if (changes === undefined) return undefined;
  const table = makeTable(config, hostAddresses);
  table.apply(changes.map(withClusterIPsAlone));
  table.commit();
  // Without its Node it is not known whether the node is to be left.
  return table.nodeObject === undefined || table.nodeObject.leave ? undefined : table;
}

/** What follows from the first call is what all calls give. */
export function once(action: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined;
  return () => {
    result ??= action();
    return result;
  };
}

/** Other addresses and ports may belong to Services that have not been read yet. */
function withClusterIPsAlone(change: ObjectChange): ObjectChange {
  if (change.type === 'delete' || change.object.kind !== 'Service') return change;
  const { object } = change;
  return {
    type: 'upsert',
    object: {
      ...object,
      type: object.type === 'ExternalName' ? 'ExternalName' : 'ClusterIP',
      externalIPs: [],
      loadBalancerIngress: [],
      healthCheckNodePort: 0,
      ports: object.ports.map((port) => ({ ...port, nodePort: 0 })),
    },
  };
}

/** Routing table and nftables dataplane in this process and network namespace, objects in memory. */

import { setTimeout as sleep } from 'node:timers/promises';
import { UNHEARD } from '../../src/dataplane/Dataplane.js';
import type { NftablesOptions } from '../../src/dataplane/nftables/desired/NftablesSettings.js';
import { TABLE } from '../../src/dataplane/nftables/desired/sets.js';
import { NftablesDataplane } from '../../src/dataplane/nftables/NftablesDataplane.js';
import { hostAddresses } from '../../src/kernel/host/hostAddresses.js';
import { NetlinkProtocol } from '../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../src/kernel/netlink/NetlinkChannel.js';
import { readGeneration } from '../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../src/kernel/nftables/table/NftablesTable.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import { CLUSTER_CIDR, service, slice } from '../objects.js';

const CHANGES = 400;

export const NFTABLES_OPTIONS: NftablesOptions = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  nodePortAddresses: 'primary',
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: CLUSTER_CIDR } },
  answerPing: true,
  counters: true,
};

const ADDRESSES = hostAddresses();

export interface CoreResult {
  readonly firstSyncMs: number;
  readonly firstSyncKernelMs: number;
  /** A second dataplane that finds everything in place. */
  readonly adoptMs: number;
  /** An endpoint's address is another. */
  readonly replaceMs: readonly number[];
  /** One endpoint fewer, and one more again: as in a rolling update. */
  readonly scaleMs: readonly number[];
  /** A Service that comes and goes. */
  readonly serviceMs: readonly number[];
}

export function openDataplane(): NftablesDataplane {
  const channel = NetlinkChannel.open(NetlinkProtocol.NETFILTER, { sendBufferBytes: 1 << 28 });
  return new NftablesDataplane(
    NFTABLES_OPTIONS,
    {
      tables: [new NftablesTable(channel, 'IPv4', TABLE)],
      generation: () => readGeneration(channel),
      // As the agent, which is told when they change.
      addresses: () => ADDRESSES,
      watch: () => {},
      localhostPorts: () => ({}),
      close: async () => channel.close(),
    },
    UNHEARD,
  );
}

export function filledTable(services: number, endpoints: number): RoutingTable {
  const table = new RoutingTable({
    nodeName: 'node-0',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
  });
  for (let n = 0; n < services; n++) {
    table.apply([
      { type: 'upsert', object: service(n) },
      { type: 'upsert', object: slice(n, endpoints) },
    ]);
  }
  return table;
}

export async function measureCore(services: number, endpoints: number): Promise<CoreResult> {
  const dataplane = openDataplane();
  const table = filledTable(services, endpoints);
  const sync = async (plane: NftablesDataplane) => {
    const start = performance.now();
    const report = await plane.sync(table, table.commit());
    return {
      total: performance.now() - start,
      kernel: report.families.reduce((sum, family) => sum + family.kernelMs, 0),
    };
  };
  const first = await sync(dataplane);
  const adopting = openDataplane();
  const adopt = await sync(adopting);
  const replaceMs: number[] = [];
  const scaleMs: number[] = [];
  const serviceMs: number[] = [];
  for (let i = 1; i <= CHANGES; i++) {
    await sleep(1);
    const n = (i * 37) % services;
    table.apply([{ type: 'upsert', object: slice(n, endpoints, i) }]);
    replaceMs.push((await sync(dataplane)).total);
    table.apply([{ type: 'upsert', object: slice(n, endpoints - 1, i, endpoints) }]);
    scaleMs.push((await sync(dataplane)).total);
    table.apply([{ type: 'upsert', object: slice(n, endpoints, i) }]);
    scaleMs.push((await sync(dataplane)).total);
    const added = service(services + 1);
    table.apply([
      { type: 'upsert', object: added },
      { type: 'upsert', object: slice(services + 1, endpoints) },
    ]);
    serviceMs.push((await sync(dataplane)).total);
    table.apply([{ type: 'delete', ref: added }]);
    serviceMs.push((await sync(dataplane)).total);
  }
  await adopting.close();
  await dataplane.close();
  return {
    firstSyncMs: first.total,
    firstSyncKernelMs: first.kernel,
    adoptMs: adopt.total,
    replaceMs,
    scaleMs,
    serviceMs,
  };
}

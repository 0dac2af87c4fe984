/** What the kernel has of our table at start and after trouble. */

import { ipKey, portKey, protocolKey } from '../../../kernel/nftables/dataTypes.js';
import type { ElementListing } from '../../../kernel/nftables/ElementListing.js';
import { chainOfValue } from '../../../kernel/nftables/elements.js';
import type { SetSpec } from '../../../kernel/nftables/SetSpec.js';
import { PROTOCOL_NUMBER } from '../../../kernel/nftables/statements.js';
import type { NftablesTable } from '../../../kernel/nftables/table/NftablesTable.js';
import { setSizeIn } from '../../../kernel/nftables/table/TableState.js';
import type { IpAddress } from '../../../net/ip.js';
import type { NftablesSettings } from '../desired/NftablesSettings.js';
import { sizeInChainName } from '../desired/ServiceChain.js';
import type { SlotCounts } from '../desired/servicePortElements.js';
import { type SetName, type SizedSet, tableSets } from '../desired/sets.js';
import type { Present } from './planFull.js';
import { SIZED_SETS } from './TableContents.js';

const VERDICT_MAPS: readonly SetName[] = [
  'service-ips',
  'short-circuits',
  'node-ports',
  'node-port-short-circuits',
];
const NO_SIZES: Record<SizedSet, number> = {
  'service-ips': 0,
  'node-ports': 0,
  endpoints: 0,
  'node-port-endpoints': 0,
};

/** Undefined when there is no table of ours. Rejects with NetlinkError. */
export async function readPresent(
  table: NftablesTable,
  settings: NftablesSettings,
): Promise<Present | undefined> {
  const state = await table.readState();
  if (!state) return undefined;
  const specs = tableSets(settings.family, { sizes: NO_SIZES, counters: settings.counters });
  const verdicts = new Map<string, ElementListing>();
  for (const name of VERDICT_MAPS)
    if (state.sets.has(name)) verdicts.set(name, await table.listElements(specs[name]));
  const sizes: Partial<Record<SizedSet, number>> = {};
  for (const set of SIZED_SETS) sizes[set] = setSizeIn(state.sets.get(set) ?? '');
  return {
    state,
    sizes,
    slotCounts: countsIn(verdicts),
    list: async (set: SetSpec) => verdicts.get(set.name) ?? table.listElements(set),
  };
}

function countsIn(verdicts: ReadonlyMap<string, ElementListing>): Present['slotCounts'] {
  const sizes = new Map<string, number>();
  for (const [name, elements] of verdicts)
    elements.each(({ key, value }) => {
      const size = sizeInChainName(chainOfValue(value));
      if (size !== undefined) sizes.set(`${name} ${key}`, size);
    });
  return (port): SlotCounts | undefined => {
    const protocol = protocolKey(PROTOCOL_NUMBER[PROTOCOL[port.protocol]]);
    const vip = (ip: IpAddress | undefined) =>
      ip === undefined ? '' : ipKey(ip) + protocol + portKey(port.port);
    const outside = [...port.externalIPs, ...port.loadBalancerIPs].find((ip) => ip !== port.clusterIP);
    const nodePort = protocol + portKey(port.nodePort);
    const internal = sizes.get(`service-ips ${vip(port.clusterIP)}`);
    const external = sizes.get(`service-ips ${vip(outside)}`) ?? sizes.get(`node-ports ${nodePort}`);
    const shortCircuit =
      sizes.get(`short-circuits ${vip(outside)}`) ?? sizes.get(`node-port-short-circuits ${nodePort}`);
    const known = internal ?? external;
    if (known === undefined) return undefined;
    return { internal: known, external: external ?? known, shortCircuit: shortCircuit ?? known };
  };
}

const PROTOCOL = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' } as const;

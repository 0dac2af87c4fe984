/**
 * The sets and maps of the table. Everything that comes and goes with Services and endpoints is an element of one of
 * these; the rules stay as they are. An element that is added to a map of verdicts makes the kernel look at all elements of
 * all such maps, so those hold only what is out of the ordinary.
 */

import {
  type DataType,
  INET_PROTOCOL,
  INET_SERVICE,
  IPV4_ADDRESS,
  IPV6_ADDRESS,
  MARK,
  NAME,
} from '../../../kernel/nftables/dataTypes.js';
import { DESTINATION_PORT, FIELDS, L4_PROTOCOL, numberField } from '../../../kernel/nftables/fields.js';
import type { SetSpec } from '../../../kernel/nftables/SetSpec.js';
import type { IpFamily } from '../../../net/ip.js';

/** The name of our table in each family. */
export const TABLE = 'penstock';

export type SetName =
  | 'service-ips'
  | 'service-chains'
  | 'node-ports'
  | 'endpoints'
  | 'node-port-endpoints'
  | 'turns'
  | 'node-port-turns'
  | 'chosen'
  | 'node-port-chosen'
  | 'drop-services'
  | 'drop-node-ports'
  | 'source-ranges'
  | 'cluster-ips'
  | 'hairpins'
  | 'node-port-ips'
  | 'localhost-node-ports'
  | 'localhost-refused'
  | 'affinity'
  | 'node-port-affinity';

/** Sets that rules fill, not we. */
export const LEARNED_SETS: ReadonlySet<string> = new Set<SetName>(['affinity', 'node-port-affinity']);

/** Chains and sets of the administrator in our table, and sets that rules fill. */
export function isNotOurs(name: string): boolean {
  return name.startsWith(ADMIN_PREFIX) || LEARNED_SETS.has(name);
}

/** Chains and sets whose names begin so are the administrator's. */
export const ADMIN_PREFIX = 'admin-';

/** The indexes for traffic that stays on the node or comes from outside are below this, those of the short circuit from here. */
export const SHORT_CIRCUIT_OFFSET = 131_072;

const AFFINITY_SIZE = 262_144;
const SMALLEST_SIZE = 12_288;

/**
 * Room for half as many elements more at least, so that growing is rare. Three quarters of a power of two: the kernel makes a
 * bucket for each of that power (nft_hash_buckets), and walks them all for each chain that looks into the set.
 */
export function roomFor(elements: number): number {
  let size = SMALLEST_SIZE;
  while (size < elements * 1.5) size *= 2;
  return size;
}

/** Sets whose room grows with the number of Services and endpoints, and how many elements they must hold. */
export type SizedSet = 'service-ips' | 'node-ports' | 'endpoints' | 'node-port-endpoints';

export interface SetOptions {
  readonly sizes: Readonly<Record<SizedSet, number>>;
  readonly counters: boolean;
}

export function tableSets(
  family: IpFamily,
  { sizes, counters }: SetOptions,
): Readonly<Record<SetName, SetSpec>> {
  const address = family === 'IPv4' ? IPV4_ADDRESS : IPV6_ADDRESS;
  const vip = { types: [address, INET_PROTOCOL, INET_SERVICE] };
  const nodePort = { types: [INET_PROTOCOL, INET_SERVICE] };
  const endpoint = { types: [address, INET_SERVICE] };
  const { destinationAddress } = FIELDS[family];
  const index = numberField('random', { modulus: SHORT_CIRCUIT_OFFSET, offset: 0 });
  const data = { fields: [destinationAddress, DESTINATION_PORT] };
  const vipIndexes = {
    key: { fields: [destinationAddress, L4_PROTOCOL, DESTINATION_PORT, index] },
    data,
  };
  const nodePortIndexes = { key: { fields: [L4_PROTOCOL, DESTINATION_PORT, index] }, data };
  const counted = counters ? { counters: true as const } : {};
  const set = (name: SetName, rest: Omit<SetSpec, 'name'>): SetSpec => ({ name, ...rest });
  return {
    // The values are for readers: rules only ask whether there is one.
    'service-ips': set('service-ips', {
      key: vip,
      data: { types: [NAME] },
      size: sizes['service-ips'],
      ...counted,
    }),
    'service-chains': set('service-chains', { key: vip, data: 'verdict' }),
    'node-ports': set('node-ports', {
      key: nodePort,
      data: 'verdict',
      size: sizes['node-ports'],
      ...counted,
    }),
    endpoints: set('endpoints', { ...vipIndexes, size: sizes.endpoints }),
    'node-port-endpoints': set('node-port-endpoints', {
      ...nodePortIndexes,
      size: sizes['node-port-endpoints'],
    }),
    turns: set('turns', vipIndexes),
    'node-port-turns': set('node-port-turns', nodePortIndexes),
    // The endpoint that a packet's mark names, where somebody has chosen (docs/first-packet.md).
    chosen: set('chosen', { key: { types: [MARK, ...vip.types] }, data: endpoint }),
    'node-port-chosen': set('node-port-chosen', {
      key: { types: [MARK, ...nodePort.types] },
      data: endpoint,
    }),
    'drop-services': set('drop-services', { key: vip }),
    'drop-node-ports': set('drop-node-ports', { key: nodePort }),
    'source-ranges': set('source-ranges', {
      key: { types: [address, INET_PROTOCOL, INET_SERVICE, address] },
      kind: 'interval',
    }),
    'cluster-ips': set('cluster-ips', { key: { types: [address] } }),
    hairpins: set('hairpins', { key: { types: [address, address] } }),
    'node-port-ips': set('node-port-ips', { key: { types: [address] } }),
    'localhost-node-ports': set('localhost-node-ports', { key: nodePort }),
    'localhost-refused': set('localhost-refused', { key: nodePort }),
    affinity: affinityMap('affinity', [address, address, INET_PROTOCOL, INET_SERVICE], endpoint.types),
    'node-port-affinity': affinityMap(
      'node-port-affinity',
      [address, INET_PROTOCOL, INET_SERVICE],
      endpoint.types,
    ),
  };
}

function affinityMap(name: SetName, key: readonly DataType[], data: readonly DataType[]): SetSpec {
  return { name, key: { types: key }, data: { types: data }, kind: 'dynamic', size: AFFINITY_SIZE };
}

/** Which VIPs or node ports have session affinity of a time; the rules that learn look here. */
export function affinitySet(family: IpFamily, of: 'services' | 'node-ports', seconds: number): SetSpec {
  const address = family === 'IPv4' ? IPV4_ADDRESS : IPV6_ADDRESS;
  const nodePort = [INET_PROTOCOL, INET_SERVICE];
  return {
    name: `affinity-${of}-${seconds}`,
    key: { types: of === 'services' ? [address, ...nodePort] : nodePort },
  };
}

/** From a running node's state to what the evaluator looks at. */
import type { Algorithm } from '../balancing/Balancing.js';
import { type Cidr, familyOf, IP_FAMILIES, type IpAddress, type IpFamily } from '../net/ip.js';
import type { LocalDetector } from '../net/LocalDetector.js';
import { type NodePortAddresses, resolveNodePortAddresses } from '../net/nodePortAddresses.js';
import type { RoutingTable } from '../routing/RoutingTable.js';
import type { Mode, Rules, World } from './World.js';

/** The objects are shared with the table, not copied. */
export function worldOf(
  table: Pick<RoutingTable, 'services' | 'slices' | 'node' | 'nodeObject' | 'serviceCIDRs'>,
  serviceProxyName: string,
  hostAddresses: readonly IpAddress[],
): World {
  const { name, zone, addresses } = table.node;
  return {
    services: [...table.services],
    slices: [...table.slices()],
    nodeName: name,
    zone,
    nodeAddresses: addresses,
    podCIDRs: firstOfEach(table.nodeObject?.podCIDRs ?? []),
    hostAddresses,
    serviceCIDRs: IP_FAMILIES.flatMap((family) => table.serviceCIDRs(family)),
    serviceProxyName,
  };
}

/** Of the configuration, what decides about packets. */
export interface RuleSource {
  /** '' stands for the mode that an agent would choose on a kernel of today. */
  readonly mode: Mode | '';
  readonly detectLocal: LocalDetector;
  readonly masqueradeAll: boolean;
  readonly localhostNodePorts: boolean;
  readonly nodePortAddresses: NodePortAddresses;
  readonly algorithm: Algorithm | '';
  readonly userspace: { readonly sourceAddress: 'auto' | 'node' | 'transparent' };
  readonly wake: { readonly ownPackets: boolean };
}

export function rulesOf(config: RuleSource, { nodeAddresses }: Pick<World, 'nodeAddresses'>): Rules {
  const { detectLocal, masqueradeAll, localhostNodePorts, nodePortAddresses, userspace, wake, algorithm } =
    config;
  return {
    mode: config.mode || 'nftables',
    detectLocal,
    masqueradeAll,
    localhostNodePorts,
    nodePortAddresses: resolveNodePortAddresses(
      nodePortAddresses,
      nodeAddresses as Readonly<Partial<Record<IpFamily, IpAddress>>>,
    ),
    nodePortsOnPrimary: nodePortAddresses === 'primary',
    sourceAddress: userspace.sourceAddress,
    ownPacketsWake: wake.ownPackets,
    ...(algorithm !== '' && { algorithm }),
  };
}

function firstOfEach(list: readonly Cidr[]): Partial<Record<IpFamily, string>> {
  const found: Partial<Record<IpFamily, string>> = {};
  for (const cidr of list) found[familyOf(cidr)] ??= cidr;
  return found;
}

/** What this node is to the load balancer: its interfaces on LANs, and what it may announce for. Pure. */
import { SERVICE_LINK } from '../../kernel/routes/constants.js';
import type { NetworkInterface } from '../../kernel/routes/InterfaceWatch.js';
import { type Cidr, cidrContains, familyOf, type IpAddress } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import { EXCLUDE_LABEL, type Node } from '../../objects/Node.js';
import type { OwnFacts } from '../membership/LeaseMembership.js';
import type { AdvertisingRole, MembershipView } from '../membership/Member.js';
import type { L2Advertisement } from '../objects/announcing.js';
import { anySelects, type Labels } from '../objects/LabelSelector.js';

/** Of container networks: what arrives there are pods' packets, or the packets of other nodes' pods. */
const OF_CONTAINERS =
  /^(veth|cali|tunl|vxlan|flannel|cni|lxc|lxd|cilium|docker|br-|virbr|podman|weave|kube-|nodelocaldns|geneve|ovs|ovn|antrea|dummy|wg|genev)/;

export interface LanInterface {
  readonly index: number;
  readonly name: string;
  readonly mac: Uint8Array;
  readonly isUp: boolean;
  readonly networks: readonly Cidr[];
  readonly addresses: readonly IpAddress[];
  readonly linkLocal: IpAddress | undefined;
}

/** `wanted`: names; none: Ethernet with an address that is no container's. */
export function lanInterfaces(
  all: readonly NetworkInterface[],
  wanted: readonly string[],
): readonly LanInterface[] {
  const lans: LanInterface[] = [];
  for (const { index, name, mac, isUp, isLoopback, addresses } of all) {
    if (mac === undefined || isLoopback) continue;
    const global = addresses.filter(({ isLinkLocal }) => !isLinkLocal);
    if (wanted.length > 0 ? !wanted.includes(name) : OF_CONTAINERS.test(name) || global.length === 0)
      continue;
    lans.push({
      index,
      name,
      mac,
      isUp,
      networks: [...new Set(global.map(({ network }) => network))],
      addresses: global.map(({ address }) => address),
      linkLocal: addresses.find(({ address, isLinkLocal }) => isLinkLocal && familyOf(address) === 'IPv6')
        ?.address,
    });
  }
  return lans.sort((a, b) => a.index - b.index);
}

export interface OwnNode {
  readonly name: string;
  readonly labels: Labels;
  /** Why it announces nothing; undefined: it may. */
  readonly excluded: string | undefined;
}

export function ownNode(name: string, node: Node | undefined, ignoreExcludeLabel: boolean): OwnNode {
  const labels = node?.labels ?? { 'kubernetes.io/hostname': name };
  const excluded =
    !ignoreExcludeLabel && Object.hasOwn(labels, EXCLUDE_LABEL)
      ? `it has the label ${EXCLUDE_LABEL}`
      : node?.networkUnavailable
        ? 'its condition NetworkUnavailable is true'
        : node?.eligible === false
          ? 'it is being removed'
          : undefined;
  return { name, labels, excluded };
}

export function ownRoles(
  { labels, excluded }: OwnNode,
  lans: readonly LanInterface[],
  advertisements: readonly L2Advertisement[],
): ReadonlyMap<string, AdvertisingRole> {
  const roles = new Map<string, AdvertisingRole>();
  if (excluded !== undefined) return roles;
  for (const each of advertisements) {
    if (!anySelects(each.nodeSelectors, labels)) continue;
    const named = each.interfaces.length > 0;
    if (named && !lans.some(({ name }) => each.interfaces.includes(name))) continue;
    const preferred =
      each.preferredNodeSelectors.length > 0 && anySelects(each.preferredNodeSelectors, labels);
    const role = preferred ? 'preferred' : 'candidate';
    roles.set(objectPath(each), named ? `${role}, any network` : role);
  }
  return roles;
}

/** Indexes of the interfaces that the address is announced on here. */
export function interfacesFor(
  address: IpAddress,
  lans: readonly LanInterface[],
  advertisements: readonly L2Advertisement[],
): readonly number[] {
  const found = new Set<number>();
  for (const { interfaces } of advertisements) {
    for (const { index, name, networks } of lans) {
      const fits =
        interfaces.length > 0
          ? interfaces.includes(name)
          : networks.some((network) => cidrContains(network, address));
      if (fits) found.add(index);
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** Which node has an address itself, as far as this one knows: such an address is never announced for a Service. */
export function nodeAddresses(
  { name }: OwnNode,
  interfaces: readonly NetworkInterface[],
  node: Node | undefined,
  { members }: MembershipView,
): ReadonlyMap<IpAddress, string> {
  const owners = new Map<IpAddress, string>();
  for (const member of members.values())
    for (const address of [...(member.addresses ?? []), ...(member.address ? [member.address] : [])])
      owners.set(address, member.name);
  for (const { name: link, addresses } of interfaces)
    if (link !== SERVICE_LINK) for (const { address } of addresses) owners.set(address, name);
  for (const address of node?.addresses ?? []) owners.set(address, name);
  return owners;
}

export function ownFacts(
  lans: readonly LanInterface[],
  roles: ReadonlyMap<string, AdvertisingRole>,
): OwnFacts {
  const addresses = lans.flatMap((lan) => lan.addresses);
  return {
    address: addresses.find((address) => familyOf(address) === 'IPv4') ?? addresses[0],
    addresses,
    macs: lans.map(({ mac }) => mac),
    subnets: [...new Set(lans.flatMap(({ networks }) => networks))],
    advertises: roles,
  };
}

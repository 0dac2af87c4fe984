/**
 * From Services, objects and what this node is to what it announces: the wishes of layer 2, the routes of BGP, and for each address
 * the reasons why it is not announced. Pure, and the same on every node that knows the same.
 */
import { type Cidr, familyOf, type IpAddress, parseCidr } from '../../net/ip.js';
import { objectPath } from '../../objects/ApiObject.js';
import { type AddressPool, poolHas } from '../addresses/AddressPool.js';
import type { Route } from '../bgp/AdjRibOut.js';
import type { LocalWish } from '../layer2/Layer2.js';
import type { BgpAdvertisement, BgpPeer, L2Advertisement, PoolChoice } from '../objects/announcing.js';
import { type CommunityValue, parseCommunityText } from '../objects/communities.js';
import { anySelects, type LabelSelector } from '../objects/LabelSelector.js';
import type { AnnouncementObjects } from './AnnouncementObjects.js';
import { type BalancedService, isServed } from './LoadBalancerServices.js';
import { interfacesFor, type LanInterface, type OwnNode } from './OwnNode.js';

/** Annotation of a Service: this node comes first for its addresses (`penstock lb move`). */
export const ANNOUNCE_FROM = 'announce-from';

export interface PlanInput {
  readonly services: readonly BalancedService[];
  readonly objects: Pick<AnnouncementObjects, 'pools' | 'ofKind'>;
  /** That went a moment ago: their addresses are announced as if they were there. */
  readonly gonePools?: readonly AddressPool[];
  readonly own: OwnNode;
  readonly lans: readonly LanInterface[];
  /** Packets go on to the nodes with endpoints: any node may announce what has endpoints anywhere. */
  readonly twoTiers: boolean;
}

/** One address of one Service. */
export interface PlannedAddress {
  readonly address: IpAddress;
  /** `namespace/name` of the Services that have it, or want it. */
  readonly services: readonly string[];
  /** Those of them that may not have it. */
  readonly refusals: readonly { readonly service: string; readonly why: string }[];
  /** Name of the pool; undefined: it is in none. */
  readonly pool: string | undefined;
  readonly layer2: readonly string[];
  readonly bgp: readonly string[];
  /** Why it is not announced, or not from here; each with what to do. Worked out when asked. */
  readonly reasons: () => readonly string[];
}

export interface AnnouncePlan {
  readonly wishes: readonly LocalWish[];
  /** By BGPPeer. */
  readonly routes: ReadonlyMap<BgpPeer, readonly Route[]>;
  readonly addresses: readonly PlannedAddress[];
}

export function planAnnouncing(input: PlanInput): AnnouncePlan {
  const { objects, own, lans, gonePools = [] } = input;
  const pools = [...objects.pools, ...gonePools];
  const layer2 = objects.ofKind('L2Advertisement');
  const bgp = objects.ofKind('BGPAdvertisement');
  const peers = objects
    .ofKind('BGPPeer')
    .filter(({ nodeSelectors }) => anySelects(nodeSelectors, own.labels));
  const communities = new Map(objects.ofKind('Community').flatMap(({ values }) => [...values]));
  const routes = new Map<BgpPeer, Map<Cidr, Route>>(peers.map((peer) => [peer, new Map()]));
  const hasAdvertisements = layer2.length + bgp.length > 0;
  const wishes: LocalWish[] = [];
  const addresses: PlannedAddress[] = [];

  for (const [address, sharers] of byAddress(input.services)) {
    // Several while ranges go from one to another: what chooses one of them chooses the address.
    const homes = pools.filter((each) => poolHas(each, address));
    const pool = homes[0];
    const { services, refusals } = winners(sharers, address, pools.length > 0 && pool === undefined);
    const matching = <Ad extends PoolChoice & { readonly serviceSelectors: readonly LabelSelector[] }>(
      ads: readonly Ad[],
    ) =>
      ads.filter(
        (each) =>
          choosesPool(each, homes) &&
          services.some(({ labels }) => anySelects(each.serviceSelectors, labels)),
      );
    const ofLayer2 = matching(layer2);
    const ofBgp = matching(bgp);
    const planned = {
      address,
      services: sharers.map(({ path }) => path),
      refusals,
      pool: pool?.name,
      layer2: ofLayer2.map(objectPath),
      bgp: ofBgp.map(objectPath),
    };
    const reasoning = { address, services, pool, ofLayer2, ofBgp, peers, hasAdvertisements };
    // Where nobody may have it the refusals say all.
    addresses.push({
      ...planned,
      reasons: () => (services.length === 0 ? [] : reasonsAgainst(input, reasoning)),
    });
    if (!services.some((service) => isServed(service, address))) continue;
    const nodes = nodesThatMay(services, address, input.twoTiers);
    if (ofLayer2.length > 0)
      wishes.push({
        address,
        advertisements: planned.layer2,
        nodes,
        movedTo: services.map(({ options }) => options[ANNOUNCE_FROM]).find((name) => name),
        interfaces: own.excluded === undefined ? interfacesFor(address, lans, ofLayer2) : [],
      });
    if (own.excluded !== undefined || (nodes && !nodes.has(own.name))) continue;
    for (const each of ofBgp) addRoutes(routes, each, address, own, communities);
  }
  return { wishes, routes: new Map([...routes].map(([peer, of]) => [peer, [...of.values()]])), addresses };
}

/** The Services that it may be announced for. Where there are pools, what is in none of them is nobody's. */
function winners(
  sharers: readonly BalancedService[],
  address: IpAddress,
  outsideOfPools: boolean,
): {
  readonly services: readonly BalancedService[];
  readonly refusals: PlannedAddress['refusals'];
} {
  const refusals = sharers.flatMap(({ path, held }) => {
    const why =
      held.get(address) ??
      (outsideOfPools
        ? `${address} is in no IPAddressPool: take an address of a pool, or add it to one.`
        : undefined);
    return why === undefined ? [] : [{ service: path, why }];
  });
  const refused = new Set(refusals.map(({ service }) => service));
  return { services: sharers.filter(({ path }) => !refused.has(path)), refusals };
}

function byAddress(services: readonly BalancedService[]): ReadonlyMap<IpAddress, readonly BalancedService[]> {
  const all = new Map<IpAddress, BalancedService[]>();
  for (const service of services) {
    for (const address of service.addresses) {
      const sharers = all.get(address);
      if (sharers) sharers.push(service);
      else all.set(address, [service]);
    }
  }
  return all;
}

/** As in MetalLB: names and selectors add up; neither of them: every pool, and every address when there are none. */
function choosesPool({ pools, poolSelectors }: PoolChoice, homes: readonly AddressPool[]): boolean {
  if (pools.length === 0 && poolSelectors.length === 0) return true;
  return homes.some(
    ({ name, labels }) =>
      pools.includes(name) || (poolSelectors.length > 0 && anySelects(poolSelectors, labels)),
  );
}

/** Under policy Local, without a second tier, only those with endpoints; undefined: any. */
function nodesThatMay(
  services: readonly BalancedService[],
  address: IpAddress,
  twoTiers: boolean,
): ReadonlySet<string> | undefined {
  if (twoTiers || services.some(({ policy }) => policy === 'Cluster')) return undefined;
  const family = familyOf(address);
  // A node that has endpoints of one sharer only would drop what is for the others.
  const [first, ...rest] = services.map(
    ({ ports }) =>
      new Set(ports.flatMap(({ nodes, addresses }) => (addresses.includes(address) ? nodes[family] : []))),
  );
  return new Set([...(first ?? [])].filter((name) => rest.every((nodes) => nodes.has(name))));
}

function addRoutes(
  routes: ReadonlyMap<BgpPeer, Map<Cidr, Route>>,
  advertisement: BgpAdvertisement,
  address: IpAddress,
  own: OwnNode,
  communities: ReadonlyMap<string, string>,
): void {
  if (!anySelects(advertisement.nodeSelectors, own.labels)) return;
  const prefix = parseCidr(`${address}/${advertisement.aggregationLength[familyOf(address)]}`) as Cidr;
  for (const [peer, known] of routes) {
    if (advertisement.peers.length > 0 && !advertisement.peers.includes(peer.name)) continue;
    if (known.has(prefix)) continue;
    known.set(prefix, {
      prefix,
      localPref: advertisement.localPref,
      communities: advertisement.communities.flatMap((text) => communityOf(text, communities) ?? []),
    });
  }
}

/** A value, or the name of one of a Community. */
function communityOf(text: string, communities: ReadonlyMap<string, string>): CommunityValue | undefined {
  return parseCommunityText(communities.get(text) ?? text);
}

interface Reasoning {
  readonly address: IpAddress;
  readonly services: readonly BalancedService[];
  readonly pool: AddressPool | undefined;
  readonly ofLayer2: readonly L2Advertisement[];
  readonly ofBgp: readonly BgpAdvertisement[];
  readonly peers: readonly BgpPeer[];
  /** Of any address. */
  readonly hasAdvertisements: boolean;
}

function reasonsAgainst(
  { own, lans, twoTiers }: PlanInput,
  { address, services, pool, ofLayer2: layer2, ofBgp: bgp, peers, hasAdvertisements }: Reasoning,
): readonly string[] {
  const reasons: string[] = [];
  if (!services.some((service) => isServed(service, address)))
    reasons.push(
      'no endpoint serves: an address without endpoints is not announced. See `penstock endpoints`.',
    );
  if (layer2.length + bgp.length === 0) {
    const where = pool === undefined ? 'is in no IPAddressPool' : `is of pool ${pool.name}`;
    reasons.push(
      hasAdvertisements
        ? `it ${where}, and no L2Advertisement or BGPAdvertisement chooses it: look at ipAddressPools, ipAddressPoolSelectors and serviceSelectors.`
        : 'there is no L2Advertisement and no BGPAdvertisement: create one.',
    );
  }
  if (own.excluded !== undefined) reasons.push(`node ${own.name} announces nothing: ${own.excluded}.`);
  const here = layer2.filter(({ nodeSelectors }) => anySelects(nodeSelectors, own.labels));
  if (layer2.length > 0 && here.length === 0)
    reasons.push(`no L2Advertisement of it selects node ${own.name}: look at nodeSelectors.`);
  else if (here.length > 0 && interfacesFor(address, lans, here).length === 0)
    reasons.push(
      `node ${own.name} has no interface on the network of ${address} (LANs here: ${namesOf(lans)}): name one in the L2Advertisement's interfaces, or take an address of the LAN.`,
    );
  if (bgp.length > 0 && peers.length === 0)
    reasons.push(`no BGPPeer is for node ${own.name}: create one, or look at nodeSelectors.`);
  const nodes = nodesThatMay(services, address, twoTiers);
  if (nodes && !nodes.has(own.name) && layer2.length + bgp.length > 0)
    reasons.push(
      `externalTrafficPolicy is Local and node ${own.name} has no endpoint that serves: ${
        nodes.size === 0 ? 'no node has one' : `these have: ${[...nodes].join(', ')}`
      }.`,
    );
  return reasons;
}

function namesOf(lans: readonly LanInterface[]): string {
  return lans.map(({ name, networks }) => `${name} ${networks.join(' ')}`.trim()).join(', ') || 'none';
}

/**
 * The Services of type LoadBalancer, their addresses, and on which nodes their endpoints are: as the routing table has them,
 * looked up only when one of them has changed.
 */
import { familyOf, IP_FAMILIES, type IpAddress, type IpFamily, joinHostPort } from '../../net/ip.js';
import { type ObjectChange, objectPath, ownerPath } from '../../objects/ApiObject.js';
import type { EndpointSlice, SliceEndpoint } from '../../objects/EndpointSlice.js';
import type { Protocol, Service } from '../../objects/Service.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import { type ServicePort, servicePortKey } from '../../routing/ServicePort.js';
import type { Labels } from '../objects/LabelSelector.js';

export interface BalancedPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** Of the Service's addresses, those at which the routing table gives it this port. */
  readonly addresses: readonly IpAddress[];
  /** Names of the nodes with endpoints that serve, sorted; those whose node nobody knows are left out. */
  readonly nodes: Readonly<Record<IpFamily, readonly string[]>>;
}

export interface BalancedService {
  /** `namespace/name` */
  readonly path: string;
  readonly labels: Labels;
  /** Annotations `penstock.io/…`, without the prefix. */
  readonly options: Readonly<Record<string, string>>;
  /** Of the status, those that nodes take the traffic of. */
  readonly addresses: readonly IpAddress[];
  /** Of `addresses`, those that belong to somebody else, and to whom: they are not announced for this Service. */
  readonly held: ReadonlyMap<IpAddress, string>;
  readonly policy: Service['externalTrafficPolicy'];
  readonly affinity: boolean;
  readonly ports: readonly BalancedPort[];
  /** Families in which an endpoint serves, on whatever node. */
  readonly served: ReadonlySet<IpFamily>;
}

/** What is asked of the routing table. */
export interface ServiceLookup {
  servicePorts(family: IpFamily): ReadonlyMap<string, Pick<ServicePort, 'loadBalancerIPs'>>;
  lossesOf(path: string, address: IpAddress): readonly string[];
  service(path: string): Service | undefined;
  slicesOf(path: string): Iterable<EndpointSlice>;
}

export class LoadBalancerServices {
  readonly #lookup: ServiceLookup;
  readonly #paths = new Set<string>();
  /** Slices of these Services, to whom they belong. */
  readonly #slices = new Map<string, string>();

  constructor(lookup: ServiceLookup) {
    this.#lookup = lookup;
  }

  /** Of changes that the table has taken. Answers whether one of them can matter here. */
  take(batch: readonly ObjectChange[]): boolean {
    let matters = false;
    for (const change of batch) matters = this.#takeOne(change) || matters;
    return matters;
  }

  /** Answers whether addresses may have changed hands. */
  committed({ families }: Pick<ChangeSet, 'families'>): boolean {
    const has = (port: ServicePort | undefined) => port !== undefined && port.loadBalancerIPs.length > 0;
    return IP_FAMILIES.some((family) =>
      families[family].some(({ before, after }) => has(before) || has(after)),
    );
  }

  /** In the order of their names. `nodeOf`: the node whose own address it is. */
  list(nodeOf: (address: IpAddress) => string | undefined): readonly BalancedService[] {
    return [...this.#paths].sort().flatMap((path) => {
      const service = this.#lookup.service(path);
      return service ? [this.#read(path, service, nodeOf)] : [];
    });
  }

  #takeOne(change: ObjectChange): boolean {
    if (change.type === 'delete') {
      const { kind } = change.ref;
      const path = objectPath(change.ref);
      return kind === 'Service'
        ? this.#paths.delete(path)
        : kind === 'EndpointSlice' && this.#slices.delete(path);
    }
    const { object } = change;
    if (object.kind === 'Service') {
      const path = objectPath(object);
      if (object.type !== 'LoadBalancer') return this.#paths.delete(path);
      this.#paths.add(path);
      return true;
    }
    if (object.kind === 'Node') return true;
    if (object.kind !== 'EndpointSlice') return false;
    const owner = ownerPath(object);
    const path = objectPath(object);
    const before = this.#slices.delete(path);
    if (this.#paths.has(owner)) this.#slices.set(path, owner);
    return before || this.#paths.has(owner);
  }

  #read(path: string, service: Service, nodeOf: (address: IpAddress) => string | undefined): BalancedService {
    const slices = [...this.#lookup.slicesOf(path)];
    for (const slice of slices) this.#slices.set(objectPath(slice), path);
    const served = new Set<IpFamily>();
    const addresses = [
      ...new Set(service.loadBalancerIngress.filter(({ ipMode }) => ipMode === 'VIP').map(({ ip }) => ip)),
    ];
    const ports = service.ports.map(({ name, protocol, port }): BalancedPort => {
      const nodes = {
        IPv4: servingNodes(slices, 'IPv4', name, protocol),
        IPv6: servingNodes(slices, 'IPv6', name, protocol),
      };
      for (const family of IP_FAMILIES) if (nodes[family].length > 0) served.add(family);
      const known = { IPv4: sorted(nodes.IPv4), IPv6: sorted(nodes.IPv6) };
      const key = servicePortKey(path, name, protocol);
      const isOurs = (address: IpAddress) =>
        nodeOf(address) === undefined &&
        this.#lookup.servicePorts(familyOf(address)).get(key)?.loadBalancerIPs.includes(address) === true;
      return { name, protocol, port, addresses: addresses.filter(isOurs), nodes: known };
    });
    const held = new Map<IpAddress, string>();
    for (const address of addresses) {
      if (ports.some((port) => port.addresses.includes(address))) continue;
      held.set(address, this.#holder(path, address, nodeOf(address)));
    }
    return {
      path,
      labels: service.labels ?? {},
      options: service.options,
      addresses,
      held,
      policy: service.externalTrafficPolicy,
      affinity: service.affinitySeconds !== undefined,
      ports,
      served,
    };
  }

  #holder(path: string, address: IpAddress, node: string | undefined): string {
    if (node !== undefined)
      return `${address} is the own address of node ${node}: give the Service another one.`;
    const losses = this.#lookup.lossesOf(path, address);
    if (losses.length > 0) return `${losses.join('; ')}.`;
    return 'the routing table of this node does not serve it: see `penstock status`, and the label service.kubernetes.io/service-proxy-name of the Service.';
  }
}

/** Whether an endpoint serves behind the address. */
export function isServed({ served, held }: BalancedService, address: IpAddress): boolean {
  return served.has(familyOf(address)) && !held.has(address);
}

/**
 * Ready ones; where there is none, those that end but still serve (KEP-1669). '' for an unknown node. Of an endpoint that is listed
 * more than once the same one counts as in the routing table (routing/build/ServiceEndpoints.ts), or a node would be announced whose
 * rules drop.
 */
function servingNodes(
  slices: readonly EndpointSlice[],
  family: IpFamily,
  name: string,
  protocol: Protocol,
): readonly string[] {
  const counted = new Map<string, SliceEndpoint>();
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const { name: portName, protocol: found, port } of slice.ports) {
      if (portName !== name || found !== protocol) continue;
      for (const endpoint of slice.endpoints) {
        const target = joinHostPort(endpoint.address, port);
        if (!endpoint.terminating || !counted.has(target)) counted.set(target, endpoint);
      }
    }
  }
  const ready: string[] = [];
  const ending: string[] = [];
  for (const { nodeName, ready: isReady, serving, terminating } of counted.values()) {
    if (isReady) ready.push(nodeName);
    else if (serving && terminating) ending.push(nodeName);
  }
  return ready.length > 0 ? ready : ending;
}

function sorted(nodes: readonly string[]): readonly string[] {
  return [...new Set(nodes)].filter((name) => name !== '').sort();
}

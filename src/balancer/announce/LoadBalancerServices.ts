/**
 * The Services of type LoadBalancer, their addresses, and on which nodes their endpoints are: as the routing table has them,
 * looked up only when one of them has changed.
 */
import { familyOf, IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { ObjectChange } from '../../objects/ApiObject.js';
import type { EndpointSlice } from '../../objects/EndpointSlice.js';
import type { Protocol, Service } from '../../objects/Service.js';
import type { Labels } from '../objects/LabelSelector.js';

export interface BalancedPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
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
  readonly policy: Service['externalTrafficPolicy'];
  readonly affinity: boolean;
  readonly ports: readonly BalancedPort[];
  /** Families in which an endpoint serves, on whatever node. */
  readonly served: ReadonlySet<IpFamily>;
}

export interface ServiceLookup {
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

  /** In the order of their names. */
  list(): readonly BalancedService[] {
    return [...this.#paths].sort().flatMap((path) => {
      const service = this.#lookup.service(path);
      return service ? [this.#read(path, service)] : [];
    });
  }

  #takeOne(change: ObjectChange): boolean {
    if (change.type === 'delete') {
      const { kind, namespace, name } = change.ref;
      const path = `${namespace}/${name}`;
      return kind === 'Service'
        ? this.#paths.delete(path)
        : kind === 'EndpointSlice' && this.#slices.delete(path);
    }
    const { object } = change;
    if (object.kind === 'Service') {
      const path = `${object.namespace}/${object.name}`;
      if (object.type !== 'LoadBalancer') return this.#paths.delete(path);
      this.#paths.add(path);
      return true;
    }
    if (object.kind === 'Node') return true;
    if (object.kind !== 'EndpointSlice') return false;
    const owner = `${object.namespace}/${object.serviceName}`;
    const path = `${object.namespace}/${object.name}`;
    const before = this.#slices.delete(path);
    if (this.#paths.has(owner)) this.#slices.set(path, owner);
    return before || this.#paths.has(owner);
  }

  #read(path: string, service: Service): BalancedService {
    const slices = [...this.#lookup.slicesOf(path)];
    for (const { namespace, name } of slices) this.#slices.set(`${namespace}/${name}`, path);
    const served = new Set<IpFamily>();
    const ports = service.ports.map(({ name, protocol, port }): BalancedPort => {
      const nodes = {
        IPv4: servingNodes(slices, 'IPv4', name, protocol),
        IPv6: servingNodes(slices, 'IPv6', name, protocol),
      };
      for (const family of IP_FAMILIES) if (nodes[family].length > 0) served.add(family);
      const known = { IPv4: sorted(nodes.IPv4), IPv6: sorted(nodes.IPv6) };
      return { name, protocol, port, nodes: known };
    });
    return {
      path,
      labels: service.labels ?? {},
      options: service.options,
      addresses: service.loadBalancerIngress.filter(({ ipMode }) => ipMode === 'VIP').map(({ ip }) => ip),
      policy: service.externalTrafficPolicy,
      affinity: service.affinitySeconds !== undefined,
      ports,
      served,
    };
  }
}

/** Whether an endpoint serves behind the address. */
export function isServed({ served }: BalancedService, address: IpAddress): boolean {
  return served.has(familyOf(address));
}

/** Ready ones; where there is none, those that end but still serve (KEP-1669). '' for an unknown node. */
function servingNodes(
  slices: readonly EndpointSlice[],
  family: IpFamily,
  name: string,
  protocol: Protocol,
): readonly string[] {
  const ready: string[] = [];
  const ending: string[] = [];
  for (const slice of slices) {
    if (slice.family !== family) continue;
    if (!slice.ports.some((port) => port.name === name && port.protocol === protocol)) continue;
    for (const endpoint of slice.endpoints) {
      if (endpoint.ready) ready.push(endpoint.nodeName);
      else if (endpoint.serving && endpoint.terminating) ending.push(endpoint.nodeName);
    }
  }
  return ready.length > 0 ? ready : ending;
}

function sorted(nodes: readonly string[]): readonly string[] {
  return [...new Set(nodes)].filter((name) => name !== '').sort();
}

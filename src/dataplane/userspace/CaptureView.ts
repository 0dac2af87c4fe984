/**
 * The routing table as the kernel must see it in mode userspace: whoever may be served goes to the engine. Every list of
 * endpoints that has any becomes one endpoint, the engine's own address: for policy Cluster, and for what this node and
 * its pods send, the port for the inside; for policy Local the port for the outside. So the rules of mode nftables do all
 * the rest: refuse, drop, source ranges, node ports, unknown ports. Where the engine has connections to cluster IPs handed to it as
 * they are, the endpoint of a cluster IP is that cluster IP: rules that translate an address to itself translate nothing.
 */
import { UNWEIGHTED } from '../../balancing/Balancing.js';
import { type Cidr, cidrContains, type IpAddress, type IpFamily, joinHostPort } from '../../net/ip.js';
import type { ServicePortChange } from '../../routing/ChangeSet.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import type { Endpoint, EndpointSets, ServicePort } from '../../routing/ServicePort.js';

/** The table of our rules in each family. */
export const CAPTURE_TABLE = 'penstock-userspace';

/** Ports of the engine. */
export interface EnginePorts {
  readonly inside: number;
  readonly outside: number;
}

export interface EngineAddress {
  readonly address: IpAddress;
  readonly TCP: EnginePorts;
  readonly UDP: EnginePorts;
  /** TCP connections to cluster IPs in these ranges come to the engine without translation; the same array until they are others. */
  readonly untranslated?: readonly Cidr[];
}

const NONE: readonly Endpoint[] = [];

export class CaptureView {
  readonly #engine: EngineAddress;
  readonly #ports = new Map<string, ServicePort>();
  readonly #lists: Readonly<Record<'TCP' | 'UDP', Readonly<Record<keyof EnginePorts, readonly Endpoint[]>>>>;

  constructor(engine: EngineAddress) {
    this.#engine = engine;
    const list = (port: number): readonly Endpoint[] => [engineEndpoint(engine.address, port)];
    this.#lists = {
      TCP: { inside: list(engine.TCP.inside), outside: list(engine.TCP.outside) },
      UDP: { inside: list(engine.UDP.inside), outside: list(engine.UDP.outside) },
    };
  }

  get servicePorts(): ReadonlyMap<string, ServicePort> {
    return this.#ports;
  }

  isFor(engine: EngineAddress): boolean {
    return engine.address === this.#engine.address && engine.untranslated === this.#engine.untranslated;
  }

  /** The changes as the kernel must see them: most changes of endpoints are none. */
  apply(changes: readonly ServicePortChange[]): ServicePortChange[] {
    return changes.flatMap(({ key, after }) => {
      const before = this.#ports.get(key);
      const captured = after && this.#captured(after);
      if (captured && before && isSame(before, captured)) return [];
      if (captured) this.#ports.set(key, captured);
      else this.#ports.delete(key);
      return before || captured ? [{ key, before, after: captured }] : [];
    });
  }

  #captured(port: ServicePort): ServicePort {
    return {
      ...port,
      balancing: UNWEIGHTED.random,
      options: {},
      affinitySeconds: undefined,
      endpoints: this.#sets(port),
    };
  }

  #sets(port: ServicePort): EndpointSets {
    const { protocol, endpoints } = port;
    // SCTP cannot be proxied: it is refused.
    if (protocol === 'SCTP') return { all: NONE, cluster: NONE, local: NONE, reachable: NONE, any: false };
    const { inside, outside } = this.#lists[protocol];
    const cluster = endpoints.cluster.length > 0 ? inside : NONE;
    const local = endpoints.local.length > 0 ? outside : NONE;
    const engine = cluster.length === 0 ? local : local.length === 0 ? cluster : [...cluster, ...local];
    const internal = this.#untranslated(port, port.internalPolicy === 'Local' ? local : cluster);
    const reachable = internal === undefined ? engine : [...internal, ...engine];
    const sets = { all: reachable, cluster, local, reachable, any: endpoints.any };
    return internal === undefined ? sets : { ...sets, internal };
  }

  /** Undefined where the cluster IP is redirected as the others are, to `redirected`. */
  #untranslated(
    { protocol, clusterIP, port }: ServicePort,
    redirected: readonly Endpoint[],
  ): readonly Endpoint[] | undefined {
    if (protocol !== 'TCP' || clusterIP === undefined || redirected.length === 0) return undefined;
    if (!this.#engine.untranslated?.some((cidr) => cidrContains(cidr, clusterIP))) return undefined;
    return [engineEndpoint(clusterIP, port)];
  }
}

/** A table whose families are seen through `views`. */
export function throughViews(table: RoutingView, views: ReadonlyMap<IpFamily, CaptureView>): RoutingView {
  return {
    servicePorts: (family) => views.get(family)?.servicePorts ?? new Map(),
    serviceCIDRs: (family) => table.serviceCIDRs(family),
    node: table.node,
    nodeObject: table.nodeObject,
  };
}

function engineEndpoint(address: IpAddress, port: number): Endpoint {
  return {
    address,
    port,
    target: joinHostPort(address, port),
    local: false,
    mayBeHere: false,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
  };
}

/** As far as the rules depend on it. */
function isSame(a: ServicePort, b: ServicePort): boolean {
  return (
    a.clusterIP === b.clusterIP &&
    a.port === b.port &&
    a.nodePort === b.nodePort &&
    a.internalPolicy === b.internalPolicy &&
    a.externalPolicy === b.externalPolicy &&
    a.nodeInSourceRanges === b.nodeInSourceRanges &&
    a.endpoints.any === b.endpoints.any &&
    a.endpoints.cluster === b.endpoints.cluster &&
    a.endpoints.local === b.endpoints.local &&
    (a.endpoints.internal === undefined) === (b.endpoints.internal === undefined) &&
    sameTexts(a.externalIPs, b.externalIPs) &&
    sameTexts(a.loadBalancerIPs, b.loadBalancerIPs) &&
    sameTexts(a.sourceRanges, b.sourceRanges)
  );
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}

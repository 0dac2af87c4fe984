/** Services and endpoints as a person wants to see them: one row for each port of a Service. */
import { IP_FAMILIES } from '../../net/ip.js';
import type { RoutingView } from '../../routing/RoutingView.js';
import { type Endpoint, isExternallyAccessible, type ServicePort } from '../../routing/ServicePort.js';
import { sleepsIn } from '../../routing/waking.js';
import { type TakesTurns, WorkTurns } from '../metrics/WorkTurns.js';
import { sortInTurns } from './sortInTurns.js';

/**
 * `ok`: every way to the Service has an endpoint. `asleep`: none has, and a first packet waits until one has. `no address`: all that it
 * has belong to other Services. The rest: for whom it has no endpoint.
 */
export type ServiceState = 'ok' | 'asleep' | 'no address' | 'no endpoints' | 'no local endpoints';

export interface ServiceRow {
  /** `namespace/service:port/PROTOCOL`: unique, and the order of rows. */
  readonly key: string;
  readonly service: string;
  readonly portName: string;
  readonly protocol: string;
  readonly port: number;
  readonly nodePort: number;
  readonly clusterIPs: readonly string[];
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
  readonly internalPolicy: string;
  readonly externalPolicy: string;
  readonly affinitySeconds: number | null;
  readonly sourceRanges: readonly string[];
  /** Of all families. `serving`: those that some connection may reach from this node. */
  readonly endpoints: { readonly all: number; readonly serving: number; readonly here: number };
  readonly state: ServiceState;
}

/** One port of a Service: in each family that has it, at least in one. */
export type SamePort = readonly [ServicePort, ...ServicePort[]];

/** Each service port with what the other family has of it, IPv4 first. What comes or goes meanwhile is in it or is not. */
export function* portsByKey(view: Pick<RoutingView, 'servicePorts'>): Generator<SamePort> {
  const [ipv4, ipv6] = IP_FAMILIES.map((family) => view.servicePorts(family));
  for (const [key, port] of ipv4 ?? []) {
    const other = ipv6?.get(key);
    yield other === undefined ? [port] : [port, other];
  }
  for (const [key, port] of ipv6 ?? []) if (!ipv4?.has(key)) yield [port];
}

/** Sorted by key; `mode` says whether first packets wait. In turns, as the next one. */
export async function serviceRows(
  view: Pick<RoutingView, 'servicePorts'>,
  mode: string,
  turns: TakesTurns = new WorkTurns(),
): Promise<ServiceRow[]> {
  const rows: ServiceRow[] = [];
  for (const ports of portsByKey(view)) {
    if (turns.isOver()) await turns.next();
    rows.push(rowOf(ports, mode));
  }
  return sortInTurns(rows, turns);
}

function rowOf(ports: SamePort, mode: string): ServiceRow {
  const [first] = ports;
  const all = (list: (port: ServicePort) => readonly string[]) => ports.flatMap(list);
  const count = (list: (port: ServicePort) => readonly Endpoint[]) =>
    ports.reduce((sum, port) => sum + list(port).length, 0);
  return {
    key: first.key,
    service: `${first.namespace}/${first.service}`,
    portName: first.portName,
    protocol: first.protocol,
    port: first.port,
    nodePort: Math.max(...ports.map((port) => port.nodePort)),
    clusterIPs: all((port) => (port.clusterIP === undefined ? [] : [port.clusterIP])),
    externalIPs: all((port) => port.externalIPs),
    loadBalancerIPs: all((port) => port.loadBalancerIPs),
    internalPolicy: first.internalPolicy,
    externalPolicy: first.externalPolicy,
    affinitySeconds: first.affinitySeconds ?? null,
    sourceRanges: all((port) => port.sourceRanges),
    endpoints: {
      all: count((port) => port.endpoints.all),
      serving: count((port) => port.endpoints.reachable),
      here: count((port) => port.endpoints.reachable.filter((e) => e.local)),
    },
    state: stateOf(ports, mode),
  };
}

export function stateOf(ports: readonly ServicePort[], mode: string): ServiceState {
  // One family that serves is enough: clients of the other may not exist.
  if (!ports.some((port) => port.endpoints.any))
    return ports.some((port) => sleepsIn(mode, port)) ? 'asleep' : 'no endpoints';
  if (!ports.some((port) => port.clusterIP !== undefined || isExternallyAccessible(port)))
    return 'no address';
  const isLocal = (port: ServicePort) =>
    port.internalPolicy === 'Local' || (port.externalPolicy === 'Local' && isExternallyAccessible(port));
  return ports.some((port) => port.endpoints.any && isLocal(port) && port.endpoints.local.length === 0)
    ? 'no local endpoints'
    : 'ok';
}

/** Whether it serves less than it says: for want of an endpoint, or of an address. */
export function lacksSomething({ state }: Pick<ServiceRow, 'state'>): boolean {
  return state !== 'ok' && state !== 'asleep';
}

export interface EndpointRow {
  /** The row of the service port, and the target: the order of rows. */
  readonly key: string;
  readonly servicePort: string;
  readonly endpoint: string;
  readonly pod: string;
  readonly node: string;
  readonly here: boolean;
  readonly condition: 'ready' | 'terminating, serving' | 'terminating' | 'not ready';
  /** Who may get to it from this node. */
  readonly serves: 'all' | 'policy Cluster' | 'policy Local' | 'nobody';
}

/** `nameOf`: the pod and node of an address, as far as they are known. */
export async function endpointRows(
  view: Pick<RoutingView, 'servicePorts'>,
  service: string,
  nameOf: (address: string) => { readonly pod: string; readonly node: string },
): Promise<EndpointRow[]> {
  const turns = new WorkTurns();
  const rows: EndpointRow[] = [];
  for (const family of IP_FAMILIES) {
    for (const port of view.servicePorts(family).values()) {
      const path = `${port.namespace}/${port.service}`;
      if (service !== '' && service !== path && service !== port.name) continue;
      for (const endpoint of port.endpoints.all) {
        if (turns.isOver()) await turns.next();
        rows.push({
          key: `${port.key} ${endpoint.target}`,
          servicePort: port.name,
          endpoint: endpoint.target,
          ...nameOf(endpoint.address),
          here: endpoint.local,
          condition: conditionOf(endpoint),
          serves: servesOf(port, endpoint),
        });
      }
    }
  }
  return sortInTurns(rows, turns);
}

function conditionOf({ ready, serving, terminating }: Endpoint): EndpointRow['condition'] {
  if (ready) return 'ready';
  if (!terminating) return 'not ready';
  return serving ? 'terminating, serving' : 'terminating';
}

function servesOf(
  { endpoints, internalPolicy, externalPolicy }: ServicePort,
  endpoint: Endpoint,
): EndpointRow['serves'] {
  const inCluster = endpoints.cluster.includes(endpoint);
  const inLocal = endpoints.local.includes(endpoint);
  const asked = internalPolicy === 'Local' || externalPolicy === 'Local';
  if (inCluster && (inLocal || !asked)) return 'all';
  if (inCluster) return 'policy Cluster';
  return inLocal ? 'policy Local' : 'nobody';
}

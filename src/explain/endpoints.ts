/** Which endpoints serve one port of one Service, and why the others do not. */
import type { IpFamily } from '../net/ip.js';
import type { SliceEndpoint } from '../objects/EndpointSlice.js';
import type { Service, ServicePortSpec } from '../objects/Service.js';
import type { World } from './World.js';

export interface KnownEndpoint extends SliceEndpoint {
  /** `10.0.0.1:80`, `[fd00::1]:80` */
  readonly target: string;
  /** EndpointSlice that lists it. */
  readonly slice: string;
  /** Runs on this node. */
  readonly local: boolean;
  /** Runs on this node, or may: some slice of the Service says so of its address, or leaves the node open. */
  readonly mayBeHere: boolean;
}

export interface EndpointSets {
  /** Every endpoint of the service port, sorted by target. */
  readonly all: readonly KnownEndpoint[];
  /** Who serves under policy Cluster. */
  readonly cluster: readonly KnownEndpoint[];
  /** Who serves under policy Local. */
  readonly local: readonly KnownEndpoint[];
  /** Somebody could serve, here or elsewhere. */
  readonly any: boolean;
  /** What the hints of topology decided. */
  readonly topology: 'none' | 'node' | 'zone';
  /** Nobody is ready: those that are shutting down serve to the end. */
  readonly lastResort: boolean;
}

export function endpointSets(
  world: World,
  service: Service,
  port: ServicePortSpec,
  family: IpFamily,
): EndpointSets {
  const all = endpointsOf(world, service, port, family);
  const isLeaving = (e: KnownEndpoint) => e.serving && e.terminating;

  const ready = all.filter((e) => e.ready);
  const forNode = ready.filter((e) => world.nodeName !== '' && e.nodeHints.includes(world.nodeName));
  const forZone = ready.filter((e) => world.zone !== '' && e.zoneHints.includes(world.zone));
  let near = ready;
  let topology: EndpointSets['topology'] = 'none';
  if (ready.every((e) => e.nodeHints.length > 0) && forNode.length > 0) {
    near = forNode;
    topology = 'node';
  } else if (ready.every((e) => e.zoneHints.length > 0) && forZone.length > 0) {
    near = forZone;
    topology = 'zone';
  }

  const leaving = all.filter(isLeaving);
  const readyHere = ready.filter((e) => e.local);
  return {
    all,
    cluster: near.length > 0 ? near : leaving,
    local: readyHere.length > 0 ? readyHere : leaving.filter((e) => e.local),
    any: ready.length > 0 || leaving.length > 0,
    topology,
    lastResort: ready.length === 0 && leaving.length > 0,
  };
}

/** Who serves under policy Local of these nodes. */
export function servingOn(
  { all }: Pick<EndpointSets, 'all'>,
  nodes: ReadonlyMap<string, number>,
): readonly KnownEndpoint[] {
  return [...nodes.keys()].flatMap((node) => {
    const there = all.filter((e) => e.nodeName === node);
    const ready = there.filter((e) => e.ready);
    return ready.length > 0 ? ready : there.filter((e) => e.serving && e.terminating);
  });
}

/** Each target once, sorted. Of two slices that list it the one counts where it is not shutting down. */
function endpointsOf(
  world: World,
  service: Service,
  port: ServicePortSpec,
  family: IpFamily,
): KnownEndpoint[] {
  const byTarget = new Map<string, KnownEndpoint>();
  const slices = world.slices
    .filter((s) => s.serviceName === service.name && s.namespace === service.namespace && s.family === family)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const isHere = ({ nodeName }: SliceEndpoint) => nodeName !== '' && nodeName === world.nodeName;
  const listed = slices.flatMap((slice) => slice.endpoints);
  const here = new Set(
    listed.filter((each) => each.nodeName === '' || isHere(each)).map(({ address }) => address),
  );
  for (const slice of slices) {
    for (const { name, protocol, port: number } of slice.ports) {
      if (name !== port.name || protocol !== port.protocol) continue;
      for (const endpoint of slice.endpoints) {
        const host = family === 'IPv6' ? `[${endpoint.address}]` : endpoint.address;
        const target = `${host}:${number}`;
        if (byTarget.has(target) && endpoint.terminating) continue;
        const place = { local: isHere(endpoint), mayBeHere: here.has(endpoint.address) };
        byTarget.set(target, { ...endpoint, ...place, target, slice: slice.name });
      }
    }
  }
  return [...byTarget.values()].sort((a, b) => (a.target < b.target ? -1 : 1));
}

/** Why an endpoint gets nothing of a flow that goes to `chosen`; undefined when it does get some. */
export function whyNot(
  endpoint: KnownEndpoint,
  sets: EndpointSets,
  chosen: readonly KnownEndpoint[],
  policy: 'Cluster' | 'Local',
): string | undefined {
  if (chosen.some(({ target }) => target === endpoint.target)) return undefined;
  if (!endpoint.ready) {
    if (endpoint.terminating) return endpoint.serving ? 'terminating, and others are ready' : 'terminating';
    return 'not ready';
  }
  if (policy === 'Local')
    return endpoint.nodeName === ''
      ? 'on no known node (policy Local)'
      : `on node ${endpoint.nodeName} (policy Local)`;
  if (sets.topology !== 'none') return `hinted for another ${sets.topology}`;
  return 'weight 0';
}

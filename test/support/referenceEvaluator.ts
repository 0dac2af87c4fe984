/**
 * What must happen to the first packet of a flow, worked out from the objects alone in the plainest way. Shares no code
 * with src/routing: an error there must not hide here as well. Behaviour: kube-proxy 1.36 in mode iptables.
 */
import { BlockList } from 'node:net';
import type { IpFamily } from '../../src/net/ip.js';
import type { LocalDetector } from '../../src/net/LocalDetector.js';
import type { EndpointSlice, SliceEndpoint } from '../../src/objects/EndpointSlice.js';
import type { Protocol, Service, ServicePortSpec } from '../../src/objects/Service.js';

export interface ReferenceWorld {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly nodeName: string;
  readonly zone: string;
  /** The node's own address of each family. */
  readonly nodeAddresses: Readonly<Partial<Record<IpFamily, string>>>;
  /** First pod range of each family on the Node object. */
  readonly podCIDRs: Readonly<Partial<Record<IpFamily, string>>>;
  /** Every address of the machine, loopback included. */
  readonly hostAddresses: readonly string[];
}

export interface ReferenceConfig {
  readonly detectLocal: LocalDetector;
  readonly masqueradeAll: boolean;
  readonly localhostNodePorts: boolean;
  /** CIDRs; empty: everywhere. */
  readonly nodePortAddresses: readonly string[];
}

export interface Flow {
  readonly origin: 'pod' | 'node' | 'external';
  readonly source: string;
  /** Where the packet enters; '' for packets of the node itself. */
  readonly interface: string;
  readonly protocol: Protocol;
  readonly destination: string;
  readonly port: number;
}

/** Each endpoint with its chance; `masquerade` per endpoint because of hairpin. NONE: not touched. */
export type Outcome = 'REJECT' | 'DROP' | 'NONE' | readonly Destination[];

export interface Destination {
  readonly target: string;
  readonly masquerade: boolean;
  readonly chance: number;
}

export interface Candidate {
  readonly service: Service;
  readonly port: ServicePortSpec;
}

interface Sets {
  readonly cluster: readonly string[];
  readonly local: readonly string[];
  /** Somebody could serve, here or elsewhere. */
  readonly any: boolean;
}

export function evaluate(world: ReferenceWorld, config: ReferenceConfig, flow: Flow): Outcome {
  const family: IpFamily = flow.destination.includes(':') ? 'IPv6' : 'IPv4';
  const toThisNode = isLocalAddress(world, flow.destination);
  const candidates = world.services
    .filter(
      (s) => s.proxyName === undefined && s.type !== 'ExternalName' && !s.headless && s.clusterIPs[family],
    )
    .flatMap((service) => service.ports.map((port) => ({ service, port })))
    .sort(byAge);

  const outcomes: Outcome[] = [];
  const vip = candidates.find(
    (c) =>
      c.port.port === flow.port &&
      c.port.protocol === flow.protocol &&
      vipsOf(c.service, family).includes(flow.destination),
  );
  const nodePort = toThisNode
    ? candidates.find((c) => c.port.nodePort === flow.port && c.port.protocol === flow.protocol)
    : undefined;
  if (vip) {
    const { service } = vip;
    if (service.clusterIPs[family] === flow.destination) outcomes.push(toClusterIP(vip));
    if ((service.externalIPs as readonly string[]).includes(flow.destination))
      outcomes.push(fromOutside(vip));
    if (loadBalancerIPs(service).includes(flow.destination)) outcomes.push(toLoadBalancer(vip));
  }
  if (nodePort) outcomes.push(toNodePort(nodePort));
  return (
    outcomes.find((o) => typeof o !== 'string') ??
    outcomes.find((o) => o === 'DROP') ??
    outcomes.find((o) => o === 'REJECT') ??
    'NONE'
  );

  function toClusterIP({ service, port }: Candidate): Outcome {
    const sets = endpointSets(world, service, port, family);
    if (!sets.any) return 'REJECT';
    const chosen = service.internalTrafficPolicy === 'Local' ? sets.local : sets.cluster;
    if (chosen.length === 0) return 'DROP';
    const fromPod = isFromPod(world, config, family, flow);
    return balance(flow, chosen, config.masqueradeAll || fromPod === false);
  }

  function fromOutside(candidate: Candidate): Outcome {
    const { service, port } = candidate;
    const sets = endpointSets(world, service, port, family);
    if (!sets.any) return refusal(candidate);
    if (!staysOnNode(service)) return balance(flow, sets.cluster, true);
    if (isFromPod(world, config, family, flow)) return balance(flow, sets.cluster, false);
    if (isLocalAddress(world, flow.source)) return balance(flow, sets.cluster, true);
    return sets.local.length > 0 ? balance(flow, sets.local, false) : refusal(candidate);
  }

  /** What becomes of a packet from outside that is not sent to an endpoint. */
  function refusal({ service, port }: Candidate): Outcome {
    // kube-proxy refuses in INPUT and FORWARD only: the node's own packets to addresses elsewhere go their way.
    if (flow.origin === 'node' && !toThisNode) return 'NONE';
    const sets = endpointSets(world, service, port, family);
    if (!sets.any) return 'REJECT';
    return staysOnNode(service) && sets.local.length === 0 ? 'DROP' : 'NONE';
  }

  function toLoadBalancer(candidate: Candidate): Outcome {
    const { service, port } = candidate;
    const ranges = service.loadBalancerSourceRanges.filter((r) => r.includes(':') === (family === 'IPv6'));
    const open = ranges.length === 0 || ranges.some((range) => range.endsWith('/0'));
    if (open || !endpointSets(world, service, port, family).any) return fromOutside(candidate);
    const nodeAddress = world.nodeAddresses[family];
    const nodeMay = nodeAddress !== undefined && ranges.some((range) => contains(range, nodeAddress));
    const allowed =
      ranges.some((range) => contains(range, flow.source)) ||
      (nodeMay && loadBalancerIPs(service).includes(flow.source));
    const outcome = allowed ? fromOutside(candidate) : 'DROP';
    return outcome === 'NONE' ? 'DROP' : outcome;
  }

  function toNodePort(candidate: Candidate): Outcome {
    const ofFamily = config.nodePortAddresses.filter((c) => c.includes(':') === (family === 'IPv6'));
    const everywhere = ofFamily.length === 0 || ofFamily.some((range) => range.endsWith('/0'));
    let served = everywhere || ofFamily.some((range) => contains(range, flow.destination));
    if (isLoopback(flow.destination)) {
      served &&= family === 'IPv4' && config.localhostNodePorts && reachesLoopback(ofFamily);
    }
    // A refusal is for every address of the node, as in kube-proxy.
    return served ? fromOutside(candidate) : refusal(candidate);
  }
}

/** Which endpoints serve one port of one Service. */
export function endpointSets(
  world: ReferenceWorld,
  service: Service,
  port: ServicePortSpec,
  family: IpFamily,
): Sets {
  const byTarget = new Map<string, SliceEndpoint>();
  const slices = world.slices
    .filter((s) => s.namespace === service.namespace && s.serviceName === service.name && s.family === family)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const slice of slices) {
    for (const { name, protocol, port: number } of slice.ports) {
      if (name !== port.name || protocol !== port.protocol) continue;
      for (const endpoint of slice.endpoints) {
        const host = family === 'IPv6' ? `[${endpoint.address}]` : endpoint.address;
        const target = `${host}:${number}`;
        if (!byTarget.has(target) || !endpoint.terminating) byTarget.set(target, endpoint);
      }
    }
  }
  const all = [...byTarget].map(([target, e]) => ({ target, ...e }));
  const isHere = (e: SliceEndpoint) => e.nodeName !== '' && e.nodeName === world.nodeName;
  const isLeaving = (e: SliceEndpoint) => e.serving && e.terminating;
  const targets = (list: readonly { target: string }[]) => list.map((e) => e.target).sort();

  const ready = all.filter((e) => e.ready);
  let near = ready;
  const forNode = ready.filter((e) => e.nodeHints.includes(world.nodeName));
  const forZone = ready.filter((e) => world.zone !== '' && e.zoneHints.includes(world.zone));
  if (ready.every((e) => e.nodeHints.length > 0) && forNode.length > 0) near = forNode;
  else if (ready.every((e) => e.zoneHints.length > 0) && forZone.length > 0) near = forZone;

  const leaving = all.filter(isLeaving);
  const readyHere = ready.filter(isHere);
  return {
    cluster: targets(near.length > 0 ? near : leaving),
    local: targets(readyHere.length > 0 ? readyHere : leaving.filter(isHere)),
    any: ready.length > 0 || leaving.length > 0,
  };
}

export function balance(flow: Flow, targets: readonly string[], masquerade: boolean): Outcome {
  return targets.map((target) => {
    const address = target.slice(0, target.lastIndexOf(':')).replace(/[[\]]/g, '');
    return { target, masquerade: masquerade || address === flow.source, chance: 1 / targets.length };
  });
}

/** Undefined: pods cannot be recognised in this family. */
export function isFromPod(
  world: ReferenceWorld,
  config: ReferenceConfig,
  family: IpFamily,
  flow: Flow,
): boolean | undefined {
  const detector = config.detectLocal;
  switch (detector.type) {
    case 'None':
      return undefined;
    case 'BridgeInterface':
      return flow.interface === detector.name;
    case 'InterfaceNamePrefix':
      return flow.interface.startsWith(detector.prefix);
    case 'ClusterCIDR':
      return detector.cidrs[family] && contains(detector.cidrs[family], flow.source);
    case 'NodeCIDR':
      return world.podCIDRs[family] ? contains(world.podCIDRs[family], flow.source) : undefined;
  }
}

export function vipsOf(service: Service, family: IpFamily): readonly string[] {
  const all = [...service.externalIPs, ...loadBalancerIPs(service)].filter(
    (address) => address.includes(':') === (family === 'IPv6'),
  );
  return [service.clusterIPs[family] ?? '', ...all];
}

/** External policy Local means nothing for a Service that is for the cluster only. */
export function staysOnNode(service: Service): boolean {
  const external = service.type !== 'ClusterIP' || service.externalIPs.length > 0;
  return external && service.externalTrafficPolicy === 'Local';
}

export function loadBalancerIPs(service: Service): readonly string[] {
  return service.loadBalancerIngress.filter((i) => i.ipMode === 'VIP').map((i) => i.ip);
}

/** The older Service first; without a time last; then by name; then by place in the Service. */
export function byAge(a: Candidate, b: Candidate): number {
  if (a.service === b.service) return a.service.ports.indexOf(a.port) - b.service.ports.indexOf(b.port);
  const [x, y] = [a.service.created ?? Number.MAX_VALUE, b.service.created ?? Number.MAX_VALUE];
  if (x !== y) return x - y;
  const path = (s: Service) => `${s.namespace}/${s.name}`;
  return path(a.service) < path(b.service) ? -1 : 1;
}

export function isLocalAddress(world: ReferenceWorld, address: string): boolean {
  return isLoopback(address) || world.hostAddresses.includes(address);
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** Node ports are wanted on 127.0.0.0/8 when nothing is said, or a range is inside it or contains its first address. */
function reachesLoopback(ranges: readonly string[]): boolean {
  return ranges.length === 0 || ranges.some((r) => r.startsWith('127.') || contains(r, '127.0.0.0'));
}

export function contains(range: string, address: string): boolean {
  if (range.includes(':') !== address.includes(':')) return false;
  const family = range.includes(':') ? 'ipv6' : 'ipv4';
  const [prefix = '', length = family === 'ipv6' ? '128' : '32'] = range.split('/');
  if (length === '0') return true;
  const list = new BlockList();
  list.addSubnet(prefix, Number(length), family);
  return list.check(address, family);
}

/** What mode nftables must do to a packet, in the plainest way. Where it is not said here, as referenceEvaluator.ts. */
import type { IpFamily } from '../../src/net/ip.js';
import {
  balance,
  byAge,
  type Candidate,
  contains,
  endpointSets,
  type Flow,
  isFromPod,
  isLocalAddress,
  isLoopback,
  loadBalancerIPs,
  type Outcome,
  type ReferenceConfig,
  type ReferenceWorld,
  staysOnNode,
  vipsOf,
} from './referenceEvaluator.js';

export function evaluateNftables(world: ReferenceWorld, config: ReferenceConfig, flow: Flow): Outcome {
  const family: IpFamily = flow.destination.includes(':') ? 'IPv6' : 'IPv4';
  const { destination, protocol, port: number } = flow;
  const candidates = world.services
    .filter(
      (s) => s.proxyName === undefined && s.type !== 'ExternalName' && !s.headless && s.clusterIPs[family],
    )
    .flatMap((service) => service.ports.map((port) => ({ service, port })))
    .sort(byAge);
  const ownerOf = (address: string, of: Candidate) =>
    candidates.find(
      ({ service, port }) =>
        port.port === of.port.port &&
        port.protocol === of.port.protocol &&
        vipsOf(service, family).includes(address),
    );

  // A VIP comes before a node port, and what is a VIP is nothing else.
  const asked = { service: undefined, port: { port: number, protocol } } as unknown as Candidate;
  const vip = ownerOf(destination, asked);
  if (vip) return toVip(vip);
  const nodePort = candidates.find(({ port }) => port.nodePort === number && port.protocol === protocol);
  if (nodePort && isServed()) return fromOutside(nodePort);
  const isClusterIP = candidates.some(
    (candidate) =>
      candidate.service.clusterIPs[family] === destination && ownerOf(destination, candidate) === candidate,
  );
  return isClusterIP ? 'REJECT' : 'NONE';

  /** An address of its own counts as cluster IP first, then as load-balancer IP with its ranges. */
  function toVip(candidate: Candidate): Outcome {
    const { service } = candidate;
    if (service.clusterIPs[family] === destination) return toClusterIP(candidate);
    if (!loadBalancerIPs(service).includes(destination)) return fromOutside(candidate);
    const ranges = service.loadBalancerSourceRanges.filter((r) => r.includes(':') === (family === 'IPv6'));
    if (ranges.length === 0 || ranges.some((range) => range.endsWith('/0'))) return fromOutside(candidate);
    const nodeAddress = world.nodeAddresses[family];
    const nodeMay = nodeAddress !== undefined && ranges.some((range) => contains(range, nodeAddress));
    const allowed =
      ranges.some((range) => contains(range, flow.source)) ||
      (nodeMay && ownLoadBalancerIPs(candidate).includes(flow.source));
    return allowed ? fromOutside(candidate) : 'DROP';
  }

  /** Those that no older Service has. */
  function ownLoadBalancerIPs(candidate: Candidate): readonly string[] {
    return loadBalancerIPs(candidate.service).filter((address) => ownerOf(address, candidate) === candidate);
  }

  function toClusterIP({ service, port }: Candidate): Outcome {
    const sets = endpointSets(world, service, port, family);
    if (!sets.any) return 'REJECT';
    const chosen = service.internalTrafficPolicy === 'Local' ? sets.local : sets.cluster;
    if (chosen.length === 0) return 'DROP';
    return balance(flow, chosen, config.masqueradeAll || isFromPod(world, config, family, flow) === false);
  }

  function fromOutside({ service, port }: Candidate): Outcome {
    const sets = endpointSets(world, service, port, family);
    if (!sets.any) return 'REJECT';
    if (!staysOnNode(service)) return balance(flow, sets.cluster, true);
    if (isFromPod(world, config, family, flow)) return balance(flow, sets.cluster, false);
    if (isLocalAddress(world, flow.source)) return balance(flow, sets.cluster, true);
    return sets.local.length > 0 ? balance(flow, sets.local, false) : 'DROP';
  }

  /** Node ports answer on addresses of this node, as far as they are wanted, but never on loopback. */
  function isServed(): boolean {
    if (!isLocalAddress(world, destination) || isLoopback(destination)) return false;
    const ranges = config.nodePortAddresses.filter((c) => c.includes(':') === (family === 'IPv6'));
    return (
      ranges.length === 0 || ranges.some((range) => range.endsWith('/0') || contains(range, destination))
    );
  }
}

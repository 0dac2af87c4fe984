/** What holds in every mode: policies, masquerade, source ranges, where node ports answer. */
import type { IpFamily } from '../net/ip.js';
import { contains, isFromPod, isLocalAddress, isLoopback, ofFamily } from './addresses.js';
import { type Candidate, loadBalancerIPs, owns, staysOnNode } from './claims.js';
import { forward, refuse, type Verdict } from './Decision.js';
import { endpointSets, servingOn } from './endpoints.js';
import { type Flow, familyOfFlow, type Rules, type World } from './World.js';

export function toClusterIP(world: World, rules: Rules, flow: Flow, { service, port }: Candidate): Verdict {
  const family = familyOfFlow(flow);
  const sets = endpointSets(world, service, port, family);
  if (!sets.any) return refuse('reject', 'no-endpoints');
  const policy = service.internalTrafficPolicy;
  const chosen = policy === 'Local' ? sets.local : sets.cluster;
  if (chosen.length === 0) return refuse('drop', 'no-local-endpoints');
  if (rules.masqueradeAll) return forward(chosen, policy, { applies: true, because: 'masqueradeAll is on' });
  const fromPod = isFromPod(world, rules, family, flow);
  const because =
    fromPod === undefined
      ? 'pods cannot be told from others here, so clients of cluster IPs keep their address'
      : fromPod
        ? 'a pod that uses a cluster IP keeps its address'
        : 'the client of a cluster IP is no pod';
  return forward(chosen, policy, { applies: fromPod === false, because });
}

/** To an external IP, a load-balancer IP or a node port. */
export function fromOutside(world: World, rules: Rules, flow: Flow, { service, port }: Candidate): Verdict {
  const family = familyOfFlow(flow);
  const sets = endpointSets(world, service, port, family);
  if (!sets.any) return refuse('reject', 'no-endpoints');
  if (!staysOnNode(service)) {
    return forward(sets.cluster, 'Cluster', {
      applies: true,
      because:
        'external policy Cluster may send to another node, whose answers must come back through this one',
    });
  }
  if (isFromPod(world, rules, family, flow)) {
    return forward(sets.cluster, 'Cluster', {
      applies: false,
      because: 'external policy Local binds outsiders only; a pod keeps its address',
    });
  }
  if (isLocalAddress(world, flow.source)) {
    return forward(sets.cluster, 'Cluster', {
      applies: true,
      because: 'external policy Local binds outsiders only; the node itself is masqueraded',
    });
  }
  const nodeShares = world.ledOn?.(flow.destination, flow.protocol, flow.port);
  const led = nodeShares ? servingOn(sets, nodeShares) : [];
  if (nodeShares && led.length > 0) {
    const because = 'tier 1 leads to a node with endpoints, which sees the client as it is';
    return {
      type: 'forward',
      policy: 'Local',
      endpoints: led,
      masquerade: { applies: false, because },
      nodeShares,
    };
  }
  if (sets.local.length === 0) return refuse('drop', 'no-local-endpoints');
  return forward(sets.local, 'Local', {
    applies: false,
    because: 'external policy Local keeps the client address',
  });
}

/** Whether the load-balancer IPs of a Service are for this client. */
export function inSourceRanges(world: World, flow: Flow, candidate: Candidate): boolean {
  const family = familyOfFlow(flow);
  const ranges = sourceRanges(candidate, family);
  if (ranges.length === 0 || ranges.some((range) => contains(range, flow.source))) return true;
  // The node reaches its own load-balancer IPs with that very IP as source.
  const nodeAddress = world.nodeAddresses[family];
  const nodeMay = nodeAddress !== undefined && ranges.some((range) => contains(range, nodeAddress));
  return (
    nodeMay &&
    loadBalancerIPs(candidate.service).includes(flow.source) &&
    (flow.source === flow.destination || owns(world, family, candidate, flow.source))
  );
}

/** Empty: everybody. */
export function sourceRanges({ service }: Candidate, family: IpFamily): readonly string[] {
  const ranges = ofFamily<string>(service.loadBalancerSourceRanges, family);
  return ranges.some((range) => range.endsWith('/0')) ? [] : ranges;
}

/** Whether node ports are wanted on an address of the node that is not loopback. */
export function servesNodePorts(rules: Rules, family: IpFamily, address: string): boolean {
  const ranges = ofFamily(rules.nodePortAddresses, family);
  return ranges.length === 0 || ranges.some((range) => range.endsWith('/0') || contains(range, address));
}

/** Whether node ports are wanted on loopback: nothing is said, a range is inside it, or contains its first address. */
export function servesLocalhost(rules: Rules, family: IpFamily): boolean {
  if (!rules.localhostNodePorts) return false;
  if (rules.nodePortsOnPrimary && rules.mode !== 'iptables') return true;
  const ranges = ofFamily(rules.nodePortAddresses, family);
  if (ranges.length === 0) return true;
  return family === 'IPv4'
    ? ranges.some((range) => range.startsWith('127.') || contains(range, '127.0.0.0'))
    : ranges.some((range) => contains(range, '::1'));
}

/** A connection to a node port on loopback, which the agent passes on: modes nftables, userspace, ipvs. */
export function throughLocalhost(world: World, flow: Flow, { service, port }: Candidate): Verdict {
  const sets = endpointSets(world, service, port, familyOfFlow(flow));
  if (sets.cluster.length === 0) return refuse('reject', 'no-endpoints');
  return forward(sets.cluster, 'Cluster', {
    applies: true,
    because: 'penstock passes on what comes to localhost',
  });
}

/** The address of nobody's Service. */
export function untouched(world: World, flow: Flow, nodePort: Candidate | undefined): Verdict {
  if (!isLocalAddress(world, flow.destination)) return refuse('pass', 'no-service');
  if (nodePort === undefined) return refuse('pass', 'own-address');
  return refuse('pass', isLoopback(flow.destination) ? 'localhost-node-port' : 'node-port-not-here');
}

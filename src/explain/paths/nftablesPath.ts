/** Modes nftables and userspace: a VIP is looked up first, and what is a VIP is nothing else. */
import { contains, isLocalAddress, isLoopback } from '../addresses.js';
import { type AddressKind, type Candidate, claimsOf, kindsOf, owns } from '../claims.js';
import { type Decision, refuse, type Verdict } from '../Decision.js';
import {
  fromOutside,
  inSourceRanges,
  servesLocalhost,
  servesNodePorts,
  throughLocalhost,
  toClusterIP,
  untouched,
} from '../policies.js';
import { type Flow, familyOfFlow, type Rules, type World } from '../World.js';

export function nftablesPath(world: World, rules: Rules, flow: Flow): Decision {
  const family = familyOfFlow(flow);
  const { destination } = flow;
  const claims = claimsOf(world, family, flow);
  const [vip] = claims.vip;
  const nodePort = isLocalAddress(world, destination) ? claims.nodePort[0] : undefined;
  const decide = (verdict: Verdict, winner?: Candidate, kind?: AddressKind): Decision => ({
    verdict,
    winner,
    kind,
    claims,
  });
  if (vip) return toVip(vip);
  if (nodePort && isLoopback(destination)) {
    const passedOn = flow.origin === 'node' && flow.protocol !== 'SCTP' && servesLocalhost(rules, family);
    return decide(
      passedOn ? throughLocalhost(world, flow, nodePort) : refuse('pass', 'localhost-node-port'),
      nodePort,
      'node port',
    );
  }
  if (nodePort && servesNodePorts(rules, family, destination)) {
    return decide(fromOutside(world, rules, flow, nodePort), nodePort, 'node port');
  }
  const holder = holderOf(world, flow);
  if (holder) return decide(refuse('reject', 'unknown-port'), holder, 'cluster IP');
  const unused = (world.serviceCIDRs ?? []).some((range) => contains(range, destination));
  if (unused) return decide(refuse('drop', 'no-such-cluster-ip'));
  return decide(untouched(world, flow, nodePort), nodePort, nodePort ? 'node port' : undefined);

  /** An address of its own counts as cluster IP first, then as load-balancer IP with its ranges. */
  function toVip(candidate: Candidate): Decision {
    const kinds = kindsOf(world, candidate.service, family, destination);
    if (kinds.includes('cluster IP')) {
      return decide(toClusterIP(world, rules, flow, candidate), candidate, 'cluster IP');
    }
    const verdict = () => fromOutside(world, rules, flow, candidate);
    if (!kinds.includes('load-balancer IP')) return decide(verdict(), candidate, 'external IP');
    const allowed = inSourceRanges(world, flow, candidate);
    return decide(allowed ? verdict() : refuse('drop', 'source-range'), candidate, 'load-balancer IP');
  }
}

/** Whose cluster IP the destination is, on whatever port. */
export function holderOf(world: World, flow: Flow): Candidate | undefined {
  const family = familyOfFlow(flow);
  for (const service of world.services) {
    if (service.clusterIPs[family] !== flow.destination) continue;
    for (const port of service.ports) {
      const candidate = { service, port };
      const claims = claimsOf(world, family, { ...flow, protocol: port.protocol, port: port.port });
      if (claims.vip[0]?.service === service && owns(world, family, candidate, flow.destination))
        return candidate;
    }
  }
  return undefined;
}

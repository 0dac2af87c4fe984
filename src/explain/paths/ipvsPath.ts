/** Mode ipvs: one virtual server for an address and port; a VIP wins over a node port. */
import { isLocalAddress, isLoopback } from '../addresses.js';
import { type AddressKind, type Candidate, claimsOf, isServed, kindsOf, vipsOf } from '../claims.js';
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

export function ipvsPath(world: World, rules: Rules, flow: Flow): Decision {
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
  if (vip) {
    // An address that is of two kinds counts as the first of them.
    const [kind] = kindsOf(world, vip.service, family, destination);
    if (kind === 'cluster IP') return decide(toClusterIP(world, rules, flow, vip), vip, kind);
    const open = kind !== 'load-balancer IP' || inSourceRanges(world, flow, vip);
    return decide(open ? fromOutside(world, rules, flow, vip) : refuse('drop', 'source-range'), vip, kind);
  }
  if (nodePort && isLoopback(destination)) {
    const passedOn = flow.protocol !== 'SCTP' && family === 'IPv4' && servesLocalhost(rules, family);
    return decide(
      passedOn ? throughLocalhost(world, flow, nodePort) : refuse('pass', 'localhost-node-port'),
      nodePort,
      'node port',
    );
  }
  if (nodePort && servesNodePorts(rules, family, destination)) {
    return decide(fromOutside(world, rules, flow, nodePort), nodePort, 'node port');
  }
  // VIPs are bound to kube-ipvs0: the host itself refuses what no Service has.
  const holder = isLocalAddress(world, destination) ? undefined : holderOf(world, flow);
  if (holder)
    return decide(
      refuse('reject', 'unknown-port'),
      holder,
      kindsOf(world, holder.service, family, destination)[0],
    );
  return decide(untouched(world, flow, nodePort), nodePort, nodePort ? 'node port' : undefined);
}

/** A Service that has the address as any kind of VIP, on some other port. */
function holderOf(world: World, flow: Flow): Candidate | undefined {
  const family = familyOfFlow(flow);
  for (const service of world.services) {
    if (!isServed(world, service, family) || !vipsOf(world, service, family).includes(flow.destination))
      continue;
    const [port] = service.ports;
    if (port) return { service, port };
  }
  return undefined;
}

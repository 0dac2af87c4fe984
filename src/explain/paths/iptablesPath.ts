/** Mode iptables, as kube-proxy 1.36: the nat table sends to endpoints, the filter table refuses, each looks for itself. */
import { isLocalAddress, isLoopback } from '../addresses.js';
import { type AddressKind, type Candidate, claimsOf, kindsOf, staysOnNode } from '../claims.js';
import { type Decision, refuse, type Verdict } from '../Decision.js';
import { endpointSets } from '../endpoints.js';
import {
  fromOutside,
  inSourceRanges,
  servesLocalhost,
  servesNodePorts,
  sourceRanges,
  toClusterIP,
  untouched,
} from '../policies.js';
import { type Flow, familyOfFlow, type Rules, type World } from '../World.js';

interface Attempt {
  readonly verdict: Verdict;
  readonly winner: Candidate;
  readonly kind: AddressKind;
}

export function iptablesPath(world: World, rules: Rules, flow: Flow): Decision {
  const family = familyOfFlow(flow);
  const claims = claimsOf(world, family, flow);
  const toThisNode = isLocalAddress(world, flow.destination);
  const attempts: Attempt[] = [];
  const [vip] = claims.vip;
  const [nodePort] = claims.nodePort;
  if (vip) {
    for (const kind of kindsOf(world, vip.service, family, flow.destination)) {
      const verdict =
        kind === 'cluster IP'
          ? toClusterIP(world, rules, flow, vip)
          : kind === 'external IP'
            ? outside(vip)
            : toLoadBalancer(vip);
      attempts.push({ verdict, winner: vip, kind });
    }
  }
  if (nodePort && toThisNode)
    attempts.push({ verdict: toNodePort(nodePort), winner: nodePort, kind: 'node port' });
  const first = (type: Verdict['type']) => attempts.find(({ verdict }) => verdict.type === type);
  const decisive = first('forward') ?? first('drop') ?? first('reject') ?? first('pass');
  if (decisive) return { ...decisive, claims };
  return { verdict: untouched(world, flow, undefined), winner: undefined, kind: undefined, claims };

  /** kube-proxy refuses in INPUT and FORWARD only: the node's own packets to addresses elsewhere go their way. */
  function outside(candidate: Candidate): Verdict {
    const verdict = fromOutside(world, rules, flow, candidate);
    if (verdict.type === 'forward' || flow.origin !== 'node' || toThisNode) return verdict;
    return refuse('pass', 'node-sends-elsewhere');
  }

  function toLoadBalancer(candidate: Candidate): Verdict {
    const open = sourceRanges(candidate, family).length === 0;
    if (open || !endpointSets(world, candidate.service, candidate.port, family).any)
      return outside(candidate);
    const verdict = inSourceRanges(world, flow, candidate) ? outside(candidate) : undefined;
    return verdict === undefined || verdict.type === 'pass' ? refuse('drop', 'source-range') : verdict;
  }

  function toNodePort(candidate: Candidate): Verdict {
    const served = isLoopback(flow.destination)
      ? family === 'IPv4' &&
        servesNodePorts(rules, family, flow.destination) &&
        servesLocalhost(rules, family)
      : servesNodePorts(rules, family, flow.destination);
    if (served) return outside(candidate);
    // A refusal is for every address of the node, as in kube-proxy.
    const { service, port } = candidate;
    const sets = endpointSets(world, service, port, family);
    if (!sets.any) return refuse('reject', 'no-endpoints');
    if (staysOnNode(service) && sets.local.length === 0) return refuse('drop', 'no-local-endpoints');
    return untouched(world, flow, candidate);
  }
}

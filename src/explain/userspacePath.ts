/** Mode userspace: the rules of mode nftables lead to the proxy, which decides whose address the endpoint sees. */
import { isLocalAddress } from './addresses.js';
import { type Decision, forward, refuse } from './Decision.js';
import { nftablesPath } from './nftablesPath.js';
import type { Flow, Rules, World } from './World.js';

const SOURCES = ['auto', 'node', 'transparent'] as const;

export function userspacePath(world: World, rules: Rules, flow: Flow): Decision {
  const decision = nftablesPath(world, rules, flow);
  const { verdict, winner } = decision;
  if (verdict.type !== 'forward' || !winner) return decision;
  if (flow.protocol === 'SCTP') return { ...decision, verdict: refuse('reject', 'protocol-not-served') };
  const asked = winner.service.options['source-address'];
  const wanted = SOURCES.find((each) => each === asked) ?? rules.sourceAddress ?? 'node';
  if (wanted === 'node') {
    const because = 'the proxy connects with the address of the node (source address "node")';
    return { ...decision, verdict: forward(verdict.endpoints, verdict.policy, { applies: true, because }) };
  }
  const { type } = rules.detectLocal;
  const byRange = type === 'ClusterCIDR' || type === 'NodeCIDR';
  if (wanted === 'auto' && decision.kind === 'cluster IP' && !byRange) {
    const because =
      'without a range of pods nobody knows whether answers come back, so the proxy connects with the address of the node';
    return { ...decision, verdict: forward(verdict.endpoints, verdict.policy, { applies: true, because }) };
  }
  const [endpoint] = verdict.endpoints;
  if (endpoint && verdict.endpoints.every(({ address }) => isLocalAddress(world, address))) {
    const because = 'an endpoint on the node itself sees the address of the node';
    return { ...decision, verdict: forward(verdict.endpoints, verdict.policy, { applies: true, because }) };
  }
  return decision;
}

/** Mode userspace: the rules of mode nftables lead to the proxy, which decides whose address the endpoint sees. */
import { isLocalAddress, podRange } from '../addresses.js';
import { type Decision, type Masquerade, refuse } from '../Decision.js';
import { type Flow, familyOfFlow, type Rules, type World } from '../World.js';
import { nftablesPath } from './nftablesPath.js';

/** The proxy tells pods by their addresses alone: an interface is known to rules, not to a socket. */
function withoutRange(
  { masqueradeAll }: Rules,
  { kind, verdict }: Decision,
  wanted: 'auto' | 'transparent',
): Masquerade | undefined {
  if (kind === 'cluster IP') {
    return wanted === 'auto'
      ? {
          applies: true,
          because:
            'without a range of pods nobody knows whether answers come back, so the proxy connects with the address of the node',
        }
      : {
          applies: masqueradeAll,
          because: masqueradeAll
            ? 'masqueradeAll is on'
            : 'the proxy tells pods by their range, and there is none: clients of cluster IPs keep their address (source address "transparent")',
        };
  }
  const isFromInside = verdict.type === 'forward' && verdict.policy === 'Cluster';
  return isFromInside
    ? {
        applies: true,
        because:
          'without a range of pods the proxy cannot tell a pod from the node, so it connects with the address of the node',
      }
    : undefined;
}

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
    return { ...decision, verdict: { ...verdict, masquerade: { applies: true, because } } };
  }
  if (podRange(world, rules, familyOfFlow(flow)) === undefined) {
    const masquerade = withoutRange(rules, decision, wanted);
    if (masquerade) return { ...decision, verdict: { ...verdict, masquerade } };
  }
  const [endpoint] = verdict.endpoints;
  if (endpoint && verdict.endpoints.every(({ address }) => isLocalAddress(world, address))) {
    const because = 'an endpoint on the node itself sees the address of the node';
    return { ...decision, verdict: { ...verdict, masquerade: { applies: true, because } } };
  }
  return decision;
}

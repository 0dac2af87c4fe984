/** Objects, node, configuration and a packet → what becomes of it. The one evaluator: `penstock explain` and the tests ask it. */
import { readBalancing } from '../balancing/readBalancing.js';
import { type Decision, type Destination, forward, isMasqueraded, type Outcome, refuse } from './Decision.js';
import type { KnownEndpoint } from './endpoints.js';
import { iptablesPath } from './iptablesPath.js';
import { ipvsPath } from './ipvsPath.js';
import { nftablesPath } from './nftablesPath.js';
import { userspacePath } from './userspacePath.js';
import type { Flow, Mode, Rules, World } from './World.js';

const PATHS: Readonly<Record<Mode, (world: World, rules: Rules, flow: Flow) => Decision>> = {
  iptables: iptablesPath,
  nftables: nftablesPath,
  ipvs: ipvsPath,
  userspace: userspacePath,
};

export function decide(world: World, rules: Rules, flow: Flow): Decision {
  const decision = PATHS[rules.mode](world, rules, flow);
  const { verdict, winner } = decision;
  if (verdict.type !== 'forward' || !winner) return decision;
  const weightOf = weights(winner.service.options);
  const serving = verdict.endpoints.filter((endpoint) => weightOf(endpoint) > 0);
  if (serving.length === verdict.endpoints.length) return decision;
  if (serving.length === 0) return { ...decision, verdict: refuse('reject', 'no-endpoints') };
  return { ...decision, verdict: forward(serving, verdict.policy, verdict.masquerade) };
}

/** The endpoints of a decision, each with its share of the connections. */
export function destinations(
  { verdict, winner }: Decision,
  flow: Flow,
  rules: Pick<Rules, 'mode'>,
): readonly Destination[] {
  if (verdict.type !== 'forward') return [];
  const weightOf = weights(winner?.service.options ?? {});
  const total = verdict.endpoints.reduce((sum, endpoint) => sum + weightOf(endpoint), 0);
  return verdict.endpoints.map((endpoint) => ({
    target: endpoint.target,
    masquerade: isMasqueraded(verdict.masquerade, endpoint, flow, rules),
    chance: weightOf(endpoint) / total,
  }));
}

export function evaluate(world: World, rules: Rules, flow: Flow): Outcome {
  const decision = decide(world, rules, flow);
  switch (decision.verdict.type) {
    case 'forward':
      return destinations(decision, flow, rules);
    case 'reject':
      return 'REJECT';
    case 'drop':
      return 'DROP';
    case 'pass':
      return 'NONE';
  }
}

function weights(options: Readonly<Record<string, string>>): (endpoint: KnownEndpoint) => number {
  const { balancing } = readBalancing(options);
  return ({ address }) => balancing.weights.get(address) ?? 1;
}

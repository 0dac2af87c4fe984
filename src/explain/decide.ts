/** Objects, node, configuration and a packet → what becomes of it. The one evaluator: `penstock explain` and the tests ask it. */
import { counts } from '../balancing/Balancing.js';
import { readBalancing } from '../balancing/readBalancing.js';
import type { IpFamily } from '../net/ip.js';
import type { Service } from '../objects/Service.js';
import { isServed } from './claims.js';
import { type Decision, type Destination, hold, type Masquerade, type Outcome } from './Decision.js';
import { endpointSets, type KnownEndpoint } from './endpoints.js';
import { iptablesPath } from './paths/iptablesPath.js';
import { ipvsPath } from './paths/ipvsPath.js';
import { nftablesPath } from './paths/nftablesPath.js';
import { userspacePath } from './paths/userspacePath.js';
import { sleepOf } from './sleep.js';
import { type Flow, familyOfFlow, type Mode, type Rules, type World } from './World.js';

const PATHS: Readonly<Record<Mode, (world: World, rules: Rules, flow: Flow) => Decision>> = {
  iptables: iptablesPath,
  nftables: nftablesPath,
  ipvs: ipvsPath,
  userspace: userspacePath,
};

export function decide(world: World, rules: Rules, flow: Flow): Decision {
  const decision = PATHS[rules.mode](world, rules, flow);
  const { verdict, winner } = decision;
  if (verdict.type !== 'forward' || !winner) {
    const sleep = sleepOf(world, rules, flow, decision);
    return sleep?.type === 'held' ? { ...decision, verdict: hold(sleep.wake) } : decision;
  }
  const weightOf = weights(winner.service.options, rules, verdict.endpoints);
  const serving = verdict.endpoints.filter((endpoint) => weightOf(endpoint) > 0);
  if (serving.length === verdict.endpoints.length) return decision;
  return { ...decision, verdict: { ...verdict, endpoints: serving } };
}

/** The endpoints of a decision, each with its share of the connections. */
export function destinations(
  world: World,
  { verdict, winner }: Decision,
  flow: Flow,
  rules: Pick<Rules, 'mode' | 'algorithm'>,
): readonly Destination[] {
  if (verdict.type !== 'forward') return [];
  const weightOf = weights(winner?.service.options ?? {}, rules, verdict.endpoints);
  const { nodeShares } = verdict;
  // Where the node was chosen first, its endpoints share what it gets.
  const groupOf = ({ nodeName }: KnownEndpoint) => (nodeShares ? nodeName : '');
  const totals = new Map<string, number>();
  for (const each of verdict.endpoints)
    totals.set(groupOf(each), (totals.get(groupOf(each)) ?? 0) + weightOf(each));
  return verdict.endpoints.map((endpoint) => ({
    target: endpoint.target,
    masquerade: isMasqueraded(world, verdict.masquerade, endpoint, flow, rules),
    chance:
      ((nodeShares?.get(endpoint.nodeName) ?? 1) * weightOf(endpoint)) / (totals.get(groupOf(endpoint)) ?? 1),
  }));
}

/** An endpoint that is reached by itself must see another address than its own. */
export function isMasqueraded(
  world: World,
  { applies }: Masquerade,
  endpoint: KnownEndpoint,
  flow: Flow,
  { mode }: Pick<Rules, 'mode'>,
): boolean {
  if (applies || endpoint.address !== flow.source) return applies;
  if (mode === 'iptables' || mode === 'userspace' || endpoint.mayBeHere) return true;
  // The other modes have one set for all Services of what may run here: of addresses, in mode ipvs with ports.
  return world.services.some((service) =>
    knownOf(world, service, familyOfFlow(flow)).some(
      ({ protocol, endpoint: each }) =>
        each.address === flow.source &&
        each.mayBeHere &&
        (mode === 'nftables' || (each.target === endpoint.target && protocol === flow.protocol)),
    ),
  );
}

function knownOf(world: World, service: Service, family: IpFamily) {
  if (!isServed(world, service, family)) return [];
  return service.ports.flatMap((port) => {
    const { all } = endpointSets(world, service, port, family);
    return all.map((endpoint) => ({ protocol: port.protocol, endpoint }));
  });
}

export function evaluate(world: World, rules: Rules, flow: Flow): Outcome {
  const decision = decide(world, rules, flow);
  switch (decision.verdict.type) {
    case 'forward':
      return destinations(world, decision, flow, rules);
    case 'reject':
      return 'REJECT';
    case 'drop':
      return 'DROP';
    case 'pass':
      return 'NONE';
    case 'hold':
      return 'HOLD';
  }
}

/**
 * All count as 1 when all are 0 (docs/balancing.md). kube-proxy's rules of mode iptables know no weights: there they count where
 * somebody else chooses.
 */
function weights(
  options: Readonly<Record<string, string>>,
  { mode, algorithm }: Pick<Rules, 'mode' | 'algorithm'>,
  endpoints: readonly KnownEndpoint[],
): (endpoint: KnownEndpoint) => number {
  const { balancing } = readBalancing(options, algorithm);
  const weightOf = ({ address }: KnownEndpoint) => balancing.weights.get(address) ?? 1;
  const isWeighed = mode !== 'iptables' || counts(balancing.algorithm);
  return isWeighed && endpoints.some((endpoint) => weightOf(endpoint) > 0) ? weightOf : () => 1;
}

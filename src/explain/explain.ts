/** What becomes of a connection, with every reason, as plain data: `penstock explain -o json` prints it as it is. */
import { type Algorithm, counts } from '../balancing/Balancing.js';
import { readBalancing } from '../balancing/readBalancing.js';
import type { Problem } from '../objects/Problem.js';
import { isFromPod, isLocalAddress } from './addresses.js';
import {
  type AddressKind,
  type Candidate,
  claimsOf,
  kindsOf,
  nameOf,
  pathOf,
  staysOnNode,
} from './claims.js';
import type { Decision, Reason } from './Decision.js';
import { decide, destinations, isMasqueraded } from './decide.js';
import { whyNoEndpoints, whyNoService } from './diagnose.js';
import { type EndpointSets, endpointSets, whyNot } from './endpoints.js';
import { inSourceRanges, sourceRanges } from './policies.js';
import { REASONS } from './reasons.js';
import { sleepOf, waitingNotes } from './sleep.js';
import { type Flow, familyOfFlow, type Mode, type Rules, type World } from './World.js';

export interface Explanation {
  /**
   * `endpoint` without `endpoints`, reason `asleep`: its first packet waits for one. `node`: the node itself answers. `not-a-service`: the
   * packet goes its way untouched.
   */
  readonly outcome: 'endpoint' | 'refused' | 'dropped' | 'node' | 'not-a-service';
  readonly reason: Reason;
  /** The reason in a sentence, and what to do. */
  readonly because: string;
  readonly remedy: string;
  readonly isProblem: boolean;
  /** `namespace/name`, null when no Service decides. */
  readonly service: string | null;
  /** `namespace/name:port name` */
  readonly servicePort: string | null;
  /** `ip:port` of everybody who may get the connection, sorted. */
  readonly endpoints: readonly string[];
  /** Whether every endpoint sees another address than the client's. */
  readonly masquerade: boolean;
  readonly masqueradeBecause: string;
  /** The source that endpoints see: the client, or "the node" where it is masqueraded. */
  readonly seenSource: string;
  readonly client: {
    readonly address: string;
    readonly is: 'pod' | 'node' | 'outside';
    readonly name: string;
  };
  readonly destination: {
    readonly address: string;
    readonly port: number;
    readonly protocol: string;
    readonly is: AddressKind | 'address of this node' | 'other address';
  };
  readonly policy: 'Cluster' | 'Local' | null;
  readonly topology: EndpointSets['topology'];
  /** Seconds; null for none. */
  readonly affinitySeconds: number | null;
  readonly sourceRanges: readonly string[];
  readonly clientInSourceRanges: boolean;
  /** How one of several endpoints is drawn; null: there is nothing to draw, or it is for IPVS to say. */
  readonly algorithm: Algorithm | null;
  /** Who counts for it, and what; null: nobody does. From a running agent alone. */
  readonly choice: ExplainedChoice | null;
  readonly candidates: readonly ExplainedEndpoint[];
  /** Other Services that ask for the same address and port, or node port, and do not get it. */
  readonly losers: readonly { readonly servicePort: string; readonly as: string; readonly because: string }[];
  /** What else is worth knowing, in sentences. */
  readonly notes: readonly string[];
  readonly mode: Mode;
  readonly node: string;
}

export interface ExplainedChoice {
  /** Of nfnetlink_queue. */
  readonly queue: number;
  /** How many, whose numbers follow; 1 unless given. */
  readonly queues?: number;
  /** By `ip:port`. */
  readonly endpoints: Readonly<
    Record<string, { readonly connections: number; readonly chosen: number; readonly isAway: boolean }>
  >;
}

export interface ExplainedEndpoint {
  readonly endpoint: string;
  readonly pod: string;
  readonly node: string;
  readonly gets: boolean;
  /** 0..1 */
  readonly share: number;
  readonly masquerade: boolean;
  /** Why it gets nothing; '' when it does get some. */
  readonly out: string;
}

const OUTCOMES = { forward: 'endpoint', hold: 'endpoint', reject: 'refused', drop: 'dropped' } as const;

/** `problems`: what was set aside of the objects. */
export function explain(
  world: World,
  rules: Rules,
  flow: Flow,
  problems: readonly Problem[] = [],
): Explanation {
  const family = familyOfFlow(flow);
  const decision = decide(world, rules, flow);
  const { verdict, winner, kind } = decision;
  const reason = reasonOf(world, flow, decision);
  const toNode = isLocalAddress(world, flow.destination);
  const outcome = verdict.type === 'pass' ? (toNode ? 'node' : 'not-a-service') : OUTCOMES[verdict.type];
  const text = REASONS[reason];
  const targets = destinations(world, decision, flow, rules);
  const ranges = winner && kind === 'load-balancer IP' ? sourceRanges(winner, family) : [];
  const notes = [
    ...notesOf(world, flow, decision, reason, rules),
    ...(verdict.type === 'forward' ? [] : problemNotes(problems, flow, decision)),
  ];
  const masquerade = targets.length > 0 && targets.every((d) => d.masquerade);
  const forwarded = verdict.type === 'forward';
  const sets = winner && endpointSets(world, winner.service, winner.port, family);
  const sleep = sleepOf(world, rules, flow, decision);
  return {
    outcome,
    reason,
    because: text.says,
    remedy: sleep?.type === 'wakes nobody' ? sleep.remedy : text.remedy,
    isProblem: text.isProblem,
    service: winner ? pathOf(winner.service) : null,
    servicePort: winner && reason !== 'unknown-port' ? nameOf(winner) : null,
    endpoints: targets.map((d) => d.target).sort(),
    masquerade,
    masqueradeBecause: forwarded
      ? masquerade && !verdict.masquerade.applies
        ? 'the endpoint is the client itself (hairpin) and must see another address'
        : verdict.masquerade.because
      : '',
    seenSource: forwarded ? (masquerade ? `node ${world.nodeName}` : flow.source) : '',
    client: { address: flow.source, is: clientIs(world, rules, flow), name: podAt(world, flow.source) },
    destination: {
      address: flow.destination,
      port: flow.port,
      protocol: flow.protocol,
      is: kind ?? (toNode ? 'address of this node' : 'other address'),
    },
    policy: forwarded ? verdict.policy : winner ? policyOf(winner, kind) : null,
    topology: sets?.topology ?? 'none',
    affinitySeconds: winner?.service.affinitySeconds ?? null,
    sourceRanges: ranges,
    clientInSourceRanges:
      ranges.length === 0 || (winner !== undefined && inSourceRanges(world, flow, winner)),
    algorithm: forwarded && winner && targets.length > 1 ? algorithmOf(winner, rules) : null,
    choice: null,
    candidates: candidatesOf(world, decision, flow, rules, sets),
    losers: losersOf(world, flow, decision),
    notes,
    mode: rules.mode,
    node: world.nodeName,
  };
}

/** In mode iptables all but those that count are by lot. */
function algorithmOf({ service }: Candidate, { mode, algorithm }: Rules): Algorithm | null {
  if (mode === 'ipvs') return null;
  const usual = algorithm ?? (mode === 'userspace' ? 'power-of-two' : 'random');
  const asked = readBalancing(service.options, usual).balancing.algorithm;
  const own = service.options.algorithm ? asked : usual;
  return mode === 'iptables' && !counts(own) ? 'random' : own;
}

/** Mode iptables lets unknown ports of a VIP pass: the reader wants to hear of the port all the same. */
function reasonOf(world: World, flow: Flow, { verdict }: Decision): Reason {
  if (verdict.type === 'forward') return 'forwarded';
  if (verdict.reason !== 'no-service') return verdict.reason;
  const family = familyOfFlow(flow);
  const isVip = world.services.some((service) => {
    const [first] = service.ports;
    if (!first || kindsOf(world, service, family, flow.destination).length === 0) return false;
    return claimsOf(world, family, { ...flow, protocol: first.protocol, port: first.port }).vip.length > 0;
  });
  return isVip ? 'unknown-port' : 'no-service';
}

function policyOf({ service }: Candidate, kind: AddressKind | undefined): 'Cluster' | 'Local' {
  if (kind === 'cluster IP') return service.internalTrafficPolicy;
  return staysOnNode(service) ? 'Local' : 'Cluster';
}

function clientIs(world: World, rules: Rules, flow: Flow): 'pod' | 'node' | 'outside' {
  if (isLocalAddress(world, flow.source)) return 'node';
  const detected = isFromPod(world, rules, familyOfFlow(flow), flow);
  return (detected ?? flow.origin === 'pod') ? 'pod' : 'outside';
}

/** `namespace/pod` that has the address, as far as EndpointSlices tell; '' when they do not. */
export function podAt(world: World, address: string): string {
  for (const slice of world.slices) {
    for (const endpoint of slice.endpoints) {
      if (endpoint.address === address && endpoint.podName !== undefined)
        return `${slice.namespace}/${endpoint.podName}`;
    }
  }
  return '';
}

function candidatesOf(
  world: World,
  decision: Decision,
  flow: Flow,
  rules: Rules,
  sets: EndpointSets | undefined,
): ExplainedEndpoint[] {
  if (!sets || !decision.winner) return [];
  const { verdict, winner, kind } = decision;
  const shares = new Map(destinations(world, decision, flow, rules).map((d) => [d.target, d.chance]));
  // A port that no Service has is no endpoint's.
  if (verdict.type !== 'forward' && verdict.reason === 'unknown-port') return [];
  const policy = verdict.type === 'forward' ? verdict.policy : policyOf(winner, kind);
  const chosen = chosenOf(verdict, sets, policy);
  return sets.all.map((endpoint) => ({
    endpoint: endpoint.target,
    pod: endpoint.podName ?? '',
    node: endpoint.nodeName,
    gets: shares.has(endpoint.target),
    share: shares.get(endpoint.target) ?? 0,
    masquerade: verdict.type === 'forward' && isMasqueraded(world, verdict.masquerade, endpoint, flow, rules),
    out: whyNot(endpoint, sets, chosen, policy) ?? (verdict.type === 'forward' ? '' : ENDS_BEFORE),
  }));
}

/** Of an endpoint that would serve. */
const ENDS_BEFORE = 'nothing: the packet ends before';

/** Who serves; of a packet that is refused for another reason than that nobody does, who would. */
function chosenOf(verdict: Decision['verdict'], sets: EndpointSets, policy: 'Cluster' | 'Local') {
  if (verdict.type === 'forward') return verdict.endpoints;
  if (['no-endpoints', 'no-local-endpoints', 'asleep'].includes(verdict.reason)) return [];
  return policy === 'Local' ? sets.local : sets.cluster;
}

function losersOf(world: World, flow: Flow, { claims, winner, kind }: Decision): Explanation['losers'] {
  const family = familyOfFlow(flow);
  const asVip = ({ service }: Candidate) => kindsOf(world, service, family, flow.destination);
  const lost = (candidate: Candidate, as: readonly AddressKind[], because: string) => ({
    servicePort: nameOf(candidate),
    as: as.join(' and '),
    because,
  });
  const isLoser = (c: Candidate) => c.service !== winner?.service || c.port !== winner.port;
  const behind = (c: Candidate, as: readonly AddressKind[]) =>
    winner ? [lost(c, as, `${nameOf(winner)} ${precedence(winner, kind, c, as)}`)] : [];
  return [
    ...claims.vip.filter(isLoser).flatMap((c) => behind(c, asVip(c))),
    ...(kind === 'node port' ? claims.nodePort.filter(isLoser).flatMap((c) => behind(c, ['node port'])) : []),
    ...claims.barred.map(({ candidate, by }) =>
      lost(
        candidate,
        asVip(candidate),
        by.service.clusterIPs[family] === flow.destination
          ? `it is the cluster IP of ${pathOf(by.service)}`
          : `it is a node port of ${nameOf(by)}`,
      ),
    ),
  ];
}

function precedence(
  winner: Candidate,
  kind: AddressKind | undefined,
  loser: Candidate,
  as: readonly AddressKind[],
): string {
  if (winner.service === loser.service) return 'is the earlier port';
  if (kind === 'cluster IP' && !as.includes('cluster IP')) return 'has it as its cluster IP';
  if (kind === 'load-balancer IP' && !as.includes('load-balancer IP')) return 'has it as a load-balancer IP';
  const [a, b] = [winner.service.created, loser.service.created];
  if (a !== undefined && b !== undefined && a !== b) return 'is older';
  if (a !== undefined && b === undefined) return 'has a creation time';
  return 'comes first by name';
}

/** Problems that name the Service, or that may hide it: those of Services when no Service was found. */
function problemNotes(problems: readonly Problem[], flow: Flow, { winner }: Decision): readonly string[] {
  const path = winner && pathOf(winner.service);
  return problems
    .filter(({ subject, message }) =>
      path === undefined
        ? message.includes(flow.destination) || subject.startsWith('Service ')
        : subject.startsWith('EndpointSlice ') || subject === `Service ${path}`,
    )
    .slice(0, 3)
    .map(({ subject, message }) => `set aside: ${subject}: ${message}`);
}

/** `node2 67 %, node3 33 %` */
function sharesText(shares: ReadonlyMap<string, number>): string {
  return [...shares]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([node, share]) => `${node} ${Math.round(share * 100)} %`)
    .join(', ');
}

function notesOf(
  world: World,
  flow: Flow,
  decision: Decision,
  reason: Reason,
  rules: Rules,
): readonly string[] {
  const { winner, verdict } = decision;
  const family = familyOfFlow(flow);
  const notes: string[] = [];
  if (verdict.type === 'forward' && winner) {
    const sets = endpointSets(world, winner.service, winner.port, family);
    const { nodeShares } = verdict;
    if (nodeShares) notes.push(`tier 1 on this node leads connections on: ${sharesText(nodeShares)}`);
    if (sets.lastResort) notes.push('no endpoint is ready; those that are terminating serve to the end');
    if (sets.topology !== 'none') {
      const left = sets.all.filter((e) => e.ready).length - sets.cluster.length;
      if (left > 0 && verdict.policy === 'Cluster')
        notes.push(`topology: hints for this ${sets.topology} leave out ${left} ready endpoints`);
    }
    const { algorithm } = readBalancing(winner.service.options, rules.algorithm).balancing;
    if (counts(algorithm) && verdict.endpoints.length > 1)
      notes.push(
        `algorithm ${algorithm}: who has the fewest connections gets it; the shares are those of equally busy endpoints`,
      );
    const hairpin = verdict.endpoints.some((e) => e.address === flow.source);
    if (hairpin && !verdict.masquerade.applies && verdict.endpoints.length > 1)
      notes.push(
        'the client is one of the endpoints: when it reaches itself it sees the address of the node',
      );
    return notes;
  }
  if (winner && verdict.type === 'hold')
    return [...waitingNotes(verdict.wake, winner, family), ...whyNoEndpoints(world, winner, family)];
  if (winner && (reason === 'no-endpoints' || reason === 'node-sends-elsewhere')) {
    const sleep = sleepOf(world, rules, flow, decision);
    const asleep = sleep?.type === 'wakes nobody' ? [sleep.why] : [];
    return [...asleep, ...whyNoEndpoints(world, winner, family)];
  }
  if (winner && reason === 'no-local-endpoints') {
    const { all } = endpointSets(world, winner.service, winner.port, family);
    const nodes = [...new Set(all.filter((e) => e.ready).map((e) => e.nodeName || '(unknown)'))].sort();
    return nodes.length === 0
      ? []
      : [`ready endpoints are on ${nodes.slice(0, 5).join(', ')}${nodes.length > 5 ? ' …' : ''}`];
  }
  if (winner && reason === 'source-range') return [`allowed are ${sourceRanges(winner, family).join(', ')}`];
  // The Service is there, with this very port: what it lacks the reason says.
  if (reason === 'protocol-not-served') return [];
  return whyNoService(world, flow);
}

/**
 * penstock's answer to every question, held against the rules of another proxy. Both ways: what rules lead to that no
 * Service asks for is a difference too.
 */
import type { Decision } from '../explain/Decision.js';
import { decide, destinations } from '../explain/decide.js';
import type { Rules, World } from '../explain/World.js';
import { type IpFamily, joinHostPort } from '../net/ip.js';
import { Clients } from './clients.js';
import { stockAnswer } from './ipvs/stockAnswer.js';
import type { Reach, RuleTracer } from './Packet.js';
import { PlaceIndex } from './PlaceIndex.js';
import { flowOf, type Place, type Question, questionsOf } from './Question.js';

/** What both say, in words: `endpoints 10.244.0.11:8080`, `refused`, `dropped`, `not touched`. */
export interface Difference {
  readonly question: Question;
  /** What the objects ask for. */
  readonly ours: Answer;
  /** What the rules do. */
  readonly theirs: Answer;
  /** Not a fault of either: documented, and no reason for exit status 1. */
  readonly meant: string | undefined;
}

export interface Answer {
  /** Sorted: `10.244.0.11:8080`. */
  readonly endpoints: readonly string[];
  /** Of the endpoints: those that see an address of the node instead of the client's. */
  readonly masqueraded: readonly string[];
  /** Of the endpoints: those that a client is led back to. */
  readonly sticky: readonly string[];
  /** Percent of the connections, in the order of the endpoints; undefined where a scheduler decides. */
  readonly shares: readonly number[] | undefined;
  /** How a packet ends that reaches no endpoint; empty when each reaches one. */
  readonly otherwise: readonly ('refused' | 'dropped' | 'not touched' | 'held until an endpoint is ready')[];
}

export interface Comparison {
  readonly asked: number;
  readonly differences: readonly Difference[];
}

/** A place that the other proxy's rules know, with the name that they give it. */
export interface RulePlace extends Place {
  readonly name: string;
}

export interface OtherProxy {
  /** Families that are asked about. */
  readonly families: readonly IpFamily[];
  /** `kube-proxy, mode iptables`. */
  readonly title: string;
  readonly mode: Rules['mode'];
  readonly tracer: RuleTracer;
  readonly places: readonly RulePlace[];
}

/** Throws UnknownForm when a rule is not understood. */
export function compareRules(world: World, rules: Rules, other: OtherProxy): Comparison {
  const index = new PlaceIndex(world);
  const questions = questionsOf(world, rules, other.families);
  const known = new Set(questions.map(({ place }) => keyOf(place)));
  const clients = new Clients(world, rules);
  for (const place of other.places) {
    if (known.has(keyOf(place))) continue;
    const family = place.address.includes(':') ? 'IPv6' : 'IPv4';
    for (const client of clients.of(family, [], [])) {
      questions.push({ name: place.name, place, what: '', client, flow: flowOf(client, place) });
    }
  }
  const differences: Difference[] = [];
  for (const question of questions) {
    const { flow } = question;
    const near = index.worldFor(flow);
    const decision = decide(near, rules, flow);
    const isSticky = decision.winner?.service.affinitySeconds !== undefined;
    const ours = answerOf(
      ENDINGS[decision.verdict.type],
      destinations(near, decision, flow, rules),
      isSticky,
    );
    const theirs = answerOfReach(other.tracer.trace(flow));
    if (sameAnswer(ours, theirs)) continue;
    const stock = other.mode === 'ipvs' ? stockAnswer(near, decision, flow) : undefined;
    const stocks = stock && answerOf(stock.refused ? 'refused' : undefined, stock.endpoints, isSticky);
    const isStock = stocks !== undefined && sameAnswer(stocks, theirs);
    const meant = isStock
      ? stock?.because
      : (holdsAlone(decision, theirs) ?? unknownToObjects(question, ours, theirs));
    // Rules that are neither as ours nor as kube-proxy's should be: told is how they differ from what it should have.
    differences.push({ question, ours: isStock ? ours : (stocks ?? ours), theirs, meant });
  }
  return { asked: questions.length, differences };
}

function keyOf({ address, port, protocol }: Place): string {
  return `${protocol} ${joinHostPort(address, port)}`;
}

export const ENDINGS = {
  forward: undefined,
  reject: 'refused',
  drop: 'dropped',
  hold: 'held until an endpoint is ready',
  pass: 'not touched',
} as const;

export function answerOf(
  ending: Answer['otherwise'][number] | undefined,
  endpoints: readonly { readonly target: string; readonly masquerade: boolean; readonly chance?: number }[],
  isSticky: boolean,
): Answer {
  const sorted = [...endpoints].sort((a, b) => (a.target < b.target ? -1 : 1));
  const targets = sorted.map(({ target }) => target);
  const chances = sorted.map(({ chance }) => chance);
  return {
    endpoints: targets,
    masqueraded: sorted.filter(({ masquerade }) => masquerade).map(({ target }) => target),
    sticky: isSticky ? targets : [],
    shares: percents(chances),
    otherwise: ending === undefined ? [] : [ending],
  };
}

function answerOfReach({ verdicts, endpoints }: Reach): Answer {
  const words = { REJECT: 'refused', DROP: 'dropped', NONE: 'not touched' } as const;
  const sorted = [...endpoints].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    endpoints: sorted.map(([target]) => target),
    masqueraded: sorted.filter(([, { masqueraded }]) => masqueraded).map(([target]) => target),
    sticky: sorted.filter(([, { sticky }]) => sticky).map(([target]) => target),
    shares: percents(sorted.map(([, { share }]) => share)),
    otherwise: [...verdicts].map((verdict) => words[verdict]).sort(),
  };
}

function percents(shares: readonly (number | undefined)[]): readonly number[] | undefined {
  return shares.some((share) => share === undefined) ? undefined : shares.map((share = 0) => share * 100);
}

export function sameAnswer(a: Answer, b: Answer): boolean {
  const text = ({ endpoints, masqueraded, sticky, otherwise }: Answer) =>
    [endpoints, masqueraded, sticky, otherwise].join('|');
  return text(a) === text(b) && sameShares(a, b);
}

/** Within a percent: rules write probabilities with ten decimals, and indexes are whole numbers. */
export function sameShares(a: Answer, b: Answer): boolean {
  if (a.shares === undefined || b.shares === undefined) return true;
  return a.shares.every((share, i) => Math.abs(share - (b.shares?.[i] ?? 0)) < 1);
}

/** Other proxies hold no packets: where a Service sleeps they refuse. */
function holdsAlone({ verdict }: Decision, theirs: Answer): string | undefined {
  return verdict.type === 'hold' && theirs.endpoints.length === 0
    ? 'its annotation wake holds the first packet, which other proxies do not do'
    : undefined;
}

/** A Service without endpoints that is not among the objects given: nobody is reached there either way. */
function unknownToObjects({ what }: Question, ours: Answer, theirs: Answer): string | undefined {
  return what === '' && ours.endpoints.length === 0 && theirs.endpoints.length === 0
    ? 'the objects given have no such Service, and the rules lead to no endpoint'
    : undefined;
}

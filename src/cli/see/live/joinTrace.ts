/** One traced packet beside what the model says of its connection: step by step in words, and whether both agree. Pure. */

import { HOLD_TABLE } from '../../../dataplane/wake/holdSets.js';
import type { Explanation } from '../../../explain/explain.js';
import { VerdictCode } from '../../../kernel/nftables/Expression.js';
import type { TracedPacket, TraceEvent } from '../../../kernel/nftables/trace/decodeTrace.js';
import { BEGINS, DELIVERED, SENT, TRACE_TABLE } from '../../../kernel/nftables/trace/traceTable.js';
import { joinHostPort } from '../../../net/ip.js';
import { chainWords } from './chainWords.js';

export interface LiveStep {
  /** `ip penstock` */
  readonly table: string;
  readonly chain: string;
  /** For `nft -a list chain`; 0: the chain's end. */
  readonly handle: number;
  /** `goto cluster-4`, `accept`, `drop`, `continue` */
  readonly verdict: string;
  /** In words; '' when nothing is known of it. */
  readonly says: string;
}

export interface Live {
  readonly steps: readonly LiveStep[];
  /**
   * What the kernel did: `endpoint`, `proxy` (a port of the agent on this node), `stopped` (dropped or refused by a rule), `held` (it waits
   * for an endpoint), `untouched`, `lost` (between the chains of rules: nobody's rule).
   */
  readonly outcome: 'endpoint' | 'proxy' | 'stopped' | 'held' | 'untouched' | 'lost';
  /** `ip:port` and source as they were at the last place; '' when it was seen at none. */
  readonly reached: string;
  readonly source: string;
  readonly agrees: boolean;
  /** What was seen, and where it differs. */
  readonly says: string;
}

export interface TraceWithComment extends TraceEvent {
  /** Of the rule. */
  readonly comment: string;
}

/** NFPROTO_*. */
const FAMILIES: Readonly<Record<number, string>> = {
  1: 'inet',
  2: 'ip',
  5: 'netdev',
  7: 'bridge',
  10: 'ip6',
};
const OWN_TABLE = /^penstock(-userspace|-failures|-choice|-wake)?$/;
const NF_QUEUE = 3;
const NF_VERDICT_MASK = 0xff;
const OWN_CHAIN = /^(KUBE|PENSTOCK)-/;

/**
 * Of what was traced, what belongs to the packet that came first. The kernel's id does not tell: it is another once the packet was
 * rewritten. But few packets are traced at all, and each begins with a rule of the trace itself.
 */
export function ofFirstPacket(events: readonly TraceEvent[]): readonly TraceEvent[] {
  const port = events[0]?.packet?.sourcePort;
  const next = events.findIndex(
    ({ table, chain, packet }) =>
      table === TRACE_TABLE && chain.startsWith(BEGINS) && packet !== undefined && packet.sourcePort !== port,
  );
  return next < 0 ? events : events.slice(0, next);
}

/** `events`: of one packet, in order. */
export function joinTrace(events: readonly TraceWithComment[], model: Explanation): Live {
  const steps = events
    .filter(({ table, type, handle }) => table !== TRACE_TABLE && !(type === 'rule' && handle === 0))
    .map((event) => stepOf(event, model));
  const packets = events.flatMap(({ packet }) => (packet ? [packet] : []));
  const last = lastPlace(events);
  const stopped = events.findLast(({ verdict }) => verdict.code === VerdictCode.DROP);
  const first = packets[0];
  const reached = last?.packet ? joinHostPort(last.packet.destination, last.packet.destinationPort) : '';
  const source = last?.packet?.source ?? '';
  const seen = { steps, reached, source };
  if (stopped !== undefined) {
    const step = stepOf(stopped, model);
    const isOwn = OWN_TABLE.test(stopped.table) || OWN_CHAIN.test(stopped.chain);
    const isCrowded = stopped.table === HOLD_TABLE && model.reason === 'asleep';
    const agrees = isCrowded || (isOwn && (model.outcome === 'refused' || model.outcome === 'dropped'));
    return { ...seen, outcome: 'stopped', agrees, says: stoppedWords(step, isOwn, model, agrees) };
  }
  if (isHeld(events)) {
    const agrees = model.reason === 'asleep';
    const says = 'it waits with the agent until an endpoint is ready';
    return {
      ...seen,
      outcome: 'held',
      agrees,
      says: agrees ? says : `${says}; the model says ${outcomeWords(model)}`,
    };
  }
  if (last?.packet === undefined || first === undefined) {
    const agrees = model.outcome === 'not-a-service';
    const where = steps.at(-1);
    return {
      ...seen,
      outcome: 'lost',
      agrees,
      says: `no rule stopped it, and it neither left nor arrived here${where ? ` after chain ${where.chain} (${where.table})` : ''}: there is no route to where it was sent, forwarding is off (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding), or rp_filter refused its source`,
    };
  }
  return { ...seen, ...arrived(first, last.packet, last.chain, model) };
}

/** Handed to the queue of those that wait, and not given back yet. */
function isHeld(events: readonly TraceEvent[]): boolean {
  const last = events.at(-1);
  return last?.table === HOLD_TABLE && last.type === 'rule' && isQueue(last.verdict.code);
}

/** Above the verdict itself stand the number of the queue and its flags. */
function isQueue(code: number): boolean {
  return code > 0 && (code & NF_VERDICT_MASK) === NF_QUEUE;
}

/** The last place that it was met at, as it was there. On loopback a packet first leaves, and then arrives. */
function lastPlace(events: readonly TraceEvent[]): TraceEvent | undefined {
  const isPlace = ({ table, chain }: TraceEvent) =>
    table === TRACE_TABLE && (chain === SENT || chain === DELIVERED);
  return events.findLast((event) => isPlace(event) && event.packet !== undefined);
}

function arrived(
  first: TracedPacket,
  last: TracedPacket,
  place: string,
  model: Explanation,
): Pick<Live, 'outcome' | 'agrees' | 'says'> {
  const to = joinHostPort(last.destination, last.destinationPort);
  const isSame = last.destination === first.destination && last.destinationPort === first.destinationPort;
  if (isSame) {
    const agrees = model.outcome === 'node' || model.outcome === 'not-a-service';
    const did = place === DELIVERED ? 'it came to this node itself' : 'it left this node';
    const differs = agrees ? '' : `; the model says ${outcomeWords(model)}`;
    return { outcome: 'untouched', agrees, says: `${did}, to ${to}, as it was${differs}` };
  }
  const candidate = model.candidates.find(({ endpoint }) => endpoint === to);
  if (candidate === undefined && place === DELIVERED && isProxied(model)) {
    return {
      outcome: 'proxy',
      agrees: model.outcome === 'endpoint',
      says: `the agent takes it on ${to} and passes it on to ${model.endpoints.length === 1 ? model.endpoints[0] : 'an endpoint that it picks'}`,
    };
  }
  const who = candidate?.pod ? `${candidate.pod} (${to})` : to;
  const isMasqueraded = last.source !== first.source;
  const as = isMasqueraded ? `it sees ${last.source} instead of ${first.source}` : `it sees ${last.source}`;
  const says = `it was sent to ${who}; ${as}`;
  if (model.reason === 'asleep')
    return { outcome: 'endpoint', agrees: true, says: `it waited until an endpoint was ready; ${says}` };
  if (!model.endpoints.includes(to)) {
    const why =
      model.outcome === 'endpoint'
        ? candidate
          ? `the model says that this endpoint gets nothing: ${candidate.out}`
          : 'the model knows no such endpoint: somebody else rewrote it, or the connection is older than a change'
        : `the model says ${outcomeWords(model)}`;
    return { outcome: 'endpoint', agrees: false, says: `${says}; ${why}` };
  }
  if (candidate !== undefined && candidate.masquerade !== isMasqueraded) {
    const wanted = candidate.masquerade ? 'is masqueraded' : "keeps the client's address";
    return { outcome: 'endpoint', agrees: false, says: `${says}; the model says that it ${wanted}` };
  }
  return { outcome: 'endpoint', agrees: true, says };
}

/** Mode userspace, and node ports on loopback in the modes that pass those on. */
function isProxied({ mode, destination }: Explanation): boolean {
  return mode === 'userspace' || destination.is === 'node port';
}

function outcomeWords({ outcome, endpoints, reason }: Explanation): string {
  if (reason === 'asleep') return 'that it waits until an endpoint is ready';
  if (outcome === 'endpoint') return `that it reaches ${endpoints.join(', ')}`;
  return `${outcome} [${reason}]`;
}

function stoppedWords(step: LiveStep, isOwn: boolean, model: Explanation, agrees: boolean): string {
  const where = `chain ${step.chain} (table ${step.table})`;
  if (agrees && model.reason === 'asleep')
    return `dropped by ${where}: more come than can wait; TCP sends it again`;
  if (agrees) return `${model.outcome} by ${where}: ${model.because}`;
  const by = step.handle === 0 ? `the policy of ${where}` : `rule ${step.handle} of ${where}`;
  const says = step.says === '' ? '' : `, which says "${step.says}"`;
  const whose = isOwn ? '' : ", which is not penstock's";
  return `it was stopped by ${by}${says}${whose}; the model says ${outcomeWords(model)}`;
}

function stepOf(
  { family, table, chain, handle, type, verdict, comment }: TraceWithComment,
  model: Explanation,
): LiveStep {
  const name = `${FAMILIES[family] ?? family} ${table}`;
  const target = verdict.chain ?? '';
  const own = OWN_TABLE.test(table) ? chainWords(chain, target || verdictText(verdict.code, ''), model) : '';
  const end = type === 'rule' ? '' : 'nothing more in it';
  return {
    table: name,
    chain,
    handle,
    verdict: verdictText(verdict.code, target),
    says: comment || own || end,
  };
}

function verdictText(code: number, chain: string): string {
  const words = VERDICTS[isQueue(code) ? NF_QUEUE : code] ?? String(code);
  return chain === '' ? words : `${words} ${chain}`;
}

/** NF_* and NFT_*. */
const VERDICTS: Readonly<Record<number, string>> = {
  0: 'drop',
  1: 'accept',
  2: 'stolen',
  3: 'queue',
  [-1]: 'continue',
  [-2]: 'break',
  [VerdictCode.JUMP]: 'jump',
  [VerdictCode.GOTO]: 'goto',
  [-5]: 'return',
};

/** Makes the connections of a cell and compares with what `explain` says: who may get them, and which source they see. */
import type { Explanation } from '../../../explain/explain.js';
import type { Cell, CellResult } from './Cell.js';
import type { DialAnswer, DialOptions } from './dial.js';

export interface CheckOptions {
  readonly dial: (options: DialOptions) => Promise<DialAnswer>;
  readonly explain: (cell: Cell) => Promise<Explanation>;
  /** Endpoints that say who they are and whom they see; without, it is enough that somebody answers. */
  readonly endpointsSpeak: boolean;
  /** Addresses that a masqueraded connection may come from. */
  readonly nodeAddresses: readonly string[];
  /** The question to services that say nothing by themselves. */
  readonly say?: DialOptions['say'];
}

/** Milliseconds: for an answer, and for there to be none. */
const PATIENCE_MS = 3000;
const SILENCE_MS = 300;
/** Connections after which several endpoints must have been seen. The chance that one of two takes all: 1 to 8 million. */
const MOST_CONNECTIONS = 24;
const AFFINITY_CONNECTIONS = 4;
const MOST_ASKED_DIRECTLY = 3;
const DIRECT_PATIENCE_MS = 1000;

export async function checkCell(cell: Cell, options: CheckOptions): Promise<CellResult> {
  const explanation = await options.explain(cell);
  const said = explainLine(explanation);
  const ended = (
    result: CellResult['result'],
    connections: number,
    says: string,
    remedy = explanation.remedy,
  ): CellResult => ({
    ...cell,
    result,
    connections,
    says,
    explain: said,
    remedy: result === 'failed' ? remedy : '',
  });
  if (explanation.outcome === 'not-a-service' || explanation.outcome === 'node')
    return ended('skipped', 0, `none of penstock's business: ${explanation.because}`);
  if (explanation.reason === 'asleep')
    return ended('skipped', 0, `it sleeps, and a connection would wake it: ${explanation.notes[0] ?? ''}`);
  const seen = new Set<string>();
  let connections = 0;
  while (connections < enough(explanation, seen, options)) {
    connections++;
    const answer = await options.dial({
      target: cell.target,
      patience: explanation.outcome === 'dropped' ? SILENCE_MS : PATIENCE_MS,
      ...(options.say === undefined ? {} : { say: options.say }),
      listen: options.endpointsSpeak || cell.target.protocol === 'UDP',
    });
    const wrong = wrongAnswer(answer, explanation, options);
    if (wrong !== undefined) {
      const direct = await askDirectly(explanation, cell, options);
      return ended('failed', connections, `${wrong}${direct.says}`, direct.remedy);
    }
    if (answer.type === 'answered') seen.add(answer.text.split(' ')[0] ?? '');
  }
  const wrong = options.endpointsSpeak ? wrongSpread(seen, explanation, connections) : undefined;
  return ended(wrong === undefined ? 'passed' : 'failed', connections, wrong ?? '');
}

/** Is it the Service, or the endpoint itself? The same client asks the endpoints past the VIP. */
async function askDirectly(
  { outcome, endpoints, remedy }: Explanation,
  { target }: Cell,
  options: CheckOptions,
): Promise<{ readonly says: string; readonly remedy: string }> {
  if (outcome !== 'endpoint') return { says: '', remedy };
  const says: string[] = [];
  let answers = 0;
  for (const endpoint of endpoints.slice(0, MOST_ASKED_DIRECTLY)) {
    const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(endpoint) ?? [];
    const answer = await options.dial({
      target: { host, port: Number(port), protocol: target.protocol },
      patience: DIRECT_PATIENCE_MS,
      ...(options.say === undefined ? {} : { say: options.say }),
      listen: options.endpointsSpeak || target.protocol === 'UDP',
    });
    if (answer.type === 'answered') answers++;
    says.push(`; ${endpoint}, asked directly, ${seenAs(answer)}`);
  }
  return {
    says: says.join(''),
    remedy:
      answers < says.length
        ? 'Not the Service but the endpoint: does the pod listen on this port, and does the network lead there?'
        : 'The endpoints answer past the Service: penstock diff looks at the rules, penstock doctor at the host.',
  };
}

function enough(
  explanation: Explanation,
  seen: ReadonlySet<string>,
  { endpointsSpeak }: CheckOptions,
): number {
  if (explanation.outcome !== 'endpoint' || !endpointsSpeak) return 1;
  if (explanation.affinitySeconds !== null) return AFFINITY_CONNECTIONS;
  return explanation.endpoints.length > 1 && seen.size < 2 ? MOST_CONNECTIONS : 1;
}

/** Undefined when it is as explained. */
function wrongAnswer(
  answer: DialAnswer,
  explanation: Explanation,
  options: CheckOptions,
): string | undefined {
  const { outcome, endpoints, candidates, client } = explanation;
  if (outcome !== 'endpoint') {
    const wanted = outcome === 'refused' ? 'refused' : 'silent';
    return answer.type === wanted || answer.type === 'forbidden'
      ? undefined
      : `must be ${outcome}, and ${seenAs(answer)}`;
  }
  if (answer.type !== 'answered') return `must reach an endpoint, and ${seenAs(answer)}`;
  if (!options.endpointsSpeak) return undefined;
  const [endpoint = '', source = ''] = answer.text.trim().split(' ');
  if (!endpoints.includes(endpoint)) return `reached ${endpoint}, which is none of ${endpoints.join(', ')}`;
  const masqueraded = candidates.find((each) => each.endpoint === endpoint)?.masquerade ?? false;
  if (masqueraded) {
    if (options.nodeAddresses.includes(source)) return undefined;
    return `${endpoint} must see the node's address, and saw ${source}`;
  }
  const own = client.is === 'node' ? options.nodeAddresses : [client.address];
  return own.includes(source) ? undefined : `${endpoint} must see ${client.address}, and saw ${source}`;
}

function wrongSpread(
  seen: ReadonlySet<string>,
  { outcome, affinitySeconds, endpoints }: Explanation,
  connections: number,
): string | undefined {
  if (outcome !== 'endpoint') return undefined;
  if (affinitySeconds !== null)
    return seen.size === 1
      ? undefined
      : `${connections} connections of one client went to ${[...seen].join(' and ')}, although affinity is asked for`;
  return endpoints.length === 1 || seen.size > 1
    ? undefined
    : `${connections} connections all went to ${[...seen].join()}, although ${endpoints.length} endpoints may get them`;
}

function seenAs(answer: DialAnswer): string {
  switch (answer.type) {
    case 'answered':
      return answer.text === '' ? 'was accepted' : `was answered by ${answer.text.trim().split(' ')[0]}`;
    case 'refused':
      return 'was refused';
    case 'silent':
      return 'got no answer';
    case 'forbidden':
      return 'was not let out by this node';
    case 'broken':
      return `broke (${answer.why})`;
  }
}

function explainLine({ outcome, reason, because, endpoints, notes }: Explanation): string {
  if (outcome === 'endpoint')
    return `${endpoints.length === 1 ? 'one endpoint' : `${endpoints.length} endpoints`} may get it: ${endpoints.slice(0, 3).join(', ')}`;
  return [`${outcome} [${reason}]: ${because}`, ...notes].join('; ');
}

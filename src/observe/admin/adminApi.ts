/** What the admin socket answers: /v1/… → JSON. Every answer is worked out when it is asked for. */

import { PenstockError } from '../../errors.js';
import { type ExplainedChoice, type Explanation, explain } from '../../explain/explain.js';
import { type FlowWords, readFlow, UnknownName } from '../../explain/names.js';
import { REASONS } from '../../explain/reasons.js';
import type { Flow, Rules, World } from '../../explain/World.js';
import { familyOf, IP_FAMILIES, type IpAddress, type IpFamily } from '../../net/ip.js';
import type { Problem } from '../../objects/Problem.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { FlowLog, FlowRecord } from '../flows/FlowLog.js';
import { WorkTurns } from '../metrics/WorkTurns.js';
import { type AdminQuestion, UnknownPath } from './AdminQuestion.js';
import type { AdminApi } from './AdminServer.js';
import type { AgentStatus } from './AgentStatus.js';
import { modelLines, nodeLine } from './modelLines.js';
import { PagedRows } from './PagedRows.js';
import type { SyncRecord } from './SyncHistory.js';
import {
  type EndpointRow,
  endpointRows,
  lacksSomething,
  type ServiceRow,
  serviceRows,
} from './serviceRows.js';

export interface AdminFacts {
  readonly mode: string;
  readonly table: RoutingTable;
  readonly world: () => World;
  readonly rules: (world: World) => Rules;
  /** What the rules must come to, a bit at a time; undefined in modes that cannot say. Keys of the sets named come on the way. */
  readonly digest: (
    keysOf: Readonly<Partial<Record<IpFamily, readonly string[]>>>,
  ) => Generator<object | undefined, object> | undefined;
  readonly problems: () => readonly Problem[];
  /** Who counts for a service port (`namespace/service:port`), of a family, and what. */
  readonly choice?: (servicePort: string, family: IpFamily) => ExplainedChoice | undefined;
  readonly status: () => Promise<AgentStatus>;
  readonly flows: Pick<FlowLog, 'records' | 'follow'>;
  readonly syncs: () => readonly SyncRecord[];
  /** Or why there is none. */
  readonly balancer: () => object | string;
}

const REPLAYED = 10;

export function adminApi(facts: AdminFacts): AdminApi {
  const generation = () => facts.table.generation;
  const services = new PagedRows<ServiceRow>(
    async (words) => wantedRows(await serviceRows(facts.table, facts.mode), words),
    generation,
  );
  const endpoints = new PagedRows<EndpointRow>(async (service) => {
    const names = await namesOf(facts.table);
    return endpointRows(facts.table, service, (ip) => names.get(ip) ?? NOBODY);
  }, generation);
  return async (question) => {
    if (question.path !== '/v1/services') services.forget();
    if (question.path !== '/v1/endpoints') endpoints.forget();
    switch (question.path) {
      case '/v1/status':
        return { json: await facts.status() };
      case '/v1/services':
        return { json: await services.page(question, wordsOf(question)) };
      case '/v1/endpoints':
        return { json: await endpoints.page(question, question.word('service')) };
      case '/v1/flows':
        return question.word('follow') === ''
          ? { json: question.page(wantedFlows(facts.flows.records, question), flowKey) }
          : { follow: (line) => followed(facts.flows, line) };
      case '/v1/model':
        return { lines: modelLines(facts.table, servicesOf(question)) };
      case '/v1/digest':
        return { lines: digestLines(facts, question.word('keys')) };
      case '/v1/syncs':
        return { json: { items: facts.syncs() } };
      case '/v1/balancer':
        return { json: { report: facts.balancer() } };
      case '/v1/problems':
        return { json: { items: facts.problems() } };
      case '/v1/explain':
        return {
          json: explained(facts, question.word('client'), question.word('to'), question.word('interface')),
        };
      default:
        throw new UnknownPath(`there is no ${question.path}`);
    }
  };
}

/** Keys of the sets that are asked for (`IPv4/endpoints,IPv6/endpoints`), and at last what all of it comes to. */
function* digestLines(facts: AdminFacts, sets: string): Generator<unknown> {
  const words = sets.split(',').map((word) => word.split('/'));
  const keysOf = Object.fromEntries(
    IP_FAMILIES.map((each) => [each, words.flatMap(([family, set]) => (family === each ? (set ?? []) : []))]),
  );
  const work = facts.digest(keysOf);
  // Null where there is nothing to work out.
  const digest = work === undefined ? null : yield* work;
  yield { node: nodeLine(facts.table), digest };
}

/** `service=shop/cart,shop/pay` */
function servicesOf(question: AdminQuestion): ReadonlySet<string> {
  return new Set(question.word('service').split(',').filter(Boolean));
}

function wordsOf(question: AdminQuestion): string {
  return JSON.stringify(['service', 'part', 'state'].map((name) => question.word(name)));
}

/** Those of one Service, with a part of the name or of an address, with `state=problems` those that lack endpoints. */
function wantedRows(rows: readonly ServiceRow[], words: string): readonly ServiceRow[] {
  const [service = '', part = '', state = ''] = JSON.parse(words) as readonly string[];
  if (service === '' && part === '' && state === '') return rows;
  const texts = (row: ServiceRow) => [row.key, ...row.clusterIPs, ...row.externalIPs, ...row.loadBalancerIPs];
  return rows.filter(
    (row) =>
      (service === '' || row.service === service) &&
      (state === '' || lacksSomething(row)) &&
      (part === '' || texts(row).some((text) => text.includes(part))),
  );
}

function wantedFlows(records: readonly FlowRecord[], question: AdminQuestion): readonly FlowRecord[] {
  const service = question.word('service');
  const last = Number(question.word('last')) || records.length;
  const wanted = service === '' ? records : records.filter((record) => isOf(record.service, service));
  return wanted.slice(-last);
}

/** `flowService`: with or without a port. */
function isOf(flowService: string, service: string): boolean {
  return flowService === service || flowService.startsWith(`${service}:`);
}

function flowKey({ number }: FlowRecord): string {
  return String(number).padStart(15, '0');
}

/** As `tail -f`: the last few first. */
function followed(flows: AdminFacts['flows'], line: (value: unknown) => void): () => void {
  for (const record of flows.records.slice(-REPLAYED)) line(record);
  return flows.follow(line);
}

function explained(facts: AdminFacts, client: string, destination: string, entry: string): Explanation {
  const world = facts.world();
  const rules = facts.rules(world);
  const words = { client, destination, interface: entry === '' ? undefined : entry };
  const flow = flowOf(words, world, rules);
  const explanation = explain(world, rules, flow, facts.problems());
  const { servicePort } = explanation;
  const choice =
    servicePort === null ? undefined : facts.choice?.(servicePort, familyOf(flow.destination as IpAddress));
  const notes = [...explanation.notes, ...lately(facts, explanation)];
  return { ...explanation, notes, ...(choice && { choice }) };
}

/** What the model cannot know: endpoints that did not take a connection to this service port, the last of each reason. */
function lately(facts: AdminFacts, { reason, servicePort }: Explanation): readonly string[] {
  if (reason !== 'forwarded' || servicePort === null) return [];
  const last = new Map<string, FlowRecord>();
  for (const record of facts.flows.records)
    if (record.service === servicePort && isOfEndpoint(record.reason)) last.set(record.reason, record);
  return [...last.values()].map(({ time, reason: why, endpoint, endpointPod }) => {
    const { says, remedy } = REASONS[why as OfEndpoint];
    const who = endpointPod === '' ? endpoint : `${endpointPod} (${endpoint})`;
    return `lately, at ${time.slice(0, 19).replace('T', ' ')} UTC, of ${who}: ${says} [${why}]. ${remedy}`;
  });
}

type OfEndpoint = 'endpoint-refused' | 'endpoint-silent';

function isOfEndpoint(reason: string): reason is OfEndpoint {
  return reason === 'endpoint-refused' || reason === 'endpoint-silent';
}

/** Throws PENSTOCK_WRONG_CALL for what cannot be made out. */
function flowOf(words: FlowWords, world: World, rules: Rules): Flow {
  try {
    return readFlow(words, world, rules);
  } catch (error) {
    if (error instanceof UnknownName) throw new PenstockError('PENSTOCK_WRONG_CALL', error.message);
    throw error;
  }
}

interface Named {
  readonly pod: string;
  readonly node: string;
}

const NOBODY: Named = { pod: '', node: '' };

/** Pod and node of every address of an endpoint. In turns. */
export async function namesOf(table: Pick<RoutingTable, 'slices'>): Promise<ReadonlyMap<string, Named>> {
  const turns = new WorkTurns();
  const names = new Map<string, Named>();
  for (const slice of table.slices()) {
    if (turns.isOver()) await turns.next();
    for (const { address, podName = '', nodeName } of slice.endpoints)
      names.set(address, { pod: podName, node: nodeName });
  }
  return names;
}

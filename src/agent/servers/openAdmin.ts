/** The admin socket of this node's agent, and the note beside it that lets commands go on when the agent is gone. */

import { rmSync, writeFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { NodeConfig } from '../../config/NodeConfig.js';
import { type Dataplane, NO_RULE_FACTS } from '../../dataplane/Dataplane.js';
import { messageOf } from '../../errors.js';
import type { ExplainedChoice } from '../../explain/explain.js';
import type { World } from '../../explain/World.js';
import { rulesOf, worldOf } from '../../explain/worldOf.js';
import { claimFile } from '../../host/fileLock.js';
import { networkNamespaceKey } from '../../kernel/host/networkNamespaceKey.js';
import { adminSockets, agentNote } from '../../kernel/host/stateFiles.js';
import type { IpAddress, IpFamily } from '../../net/ip.js';
import { type AdminApi, AdminServer } from '../../observe/admin/AdminServer.js';
import { type AgentStatus, SHOWN_PROBLEMS, tableStatus } from '../../observe/admin/AgentStatus.js';
import { type AdminFacts, adminApi } from '../../observe/admin/adminApi.js';
import type { FlowLog } from '../../observe/flows/FlowLog.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Clock } from '../../time/Clock.js';
import type { Agent } from '../Agent.js';
import type { DepartureState } from '../leave/Departure.js';

export interface AdminOptions {
  readonly config: NodeConfig;
  readonly agent: Pick<Agent, 'healthState' | 'contacts' | 'problems' | 'syncs'>;
  readonly table: RoutingTable;
  readonly dataplane: Pick<
    Dataplane,
    'description' | 'ruleFacts' | 'digest' | 'queueStates' | 'choiceReport'
  >;
  readonly departure: () => DepartureState;
  readonly flows: Pick<FlowLog, 'records' | 'follow'>;
  /** Or why there is none. */
  readonly balancer: () => object | string;
  readonly ledOn: NonNullable<World['ledOn']>;
  readonly version: string;
  readonly clock: Clock;
  readonly hostAddresses: () => readonly IpAddress[];
}

export interface OpenAdmin {
  /** Of the socket. */
  readonly path: string;
  /** Writes down anew what commands need when the agent is gone: some of it is known after a sync only. */
  readonly refreshNote: () => void;
  readonly close: () => void;
}

/** What the socket and the page answer with. */
export interface Admin {
  readonly api: AdminApi;
  /** The same for the page: readers of the one do not make those of the other begin anew. */
  readonly pageApi: AdminApi;
  readonly status: () => OwnStatus;
}

/** What needs no look at every Service. */
type OwnStatus = Omit<AgentStatus, keyof Awaited<ReturnType<typeof tableStatus>>>;

export function makeAdmin(options: AdminOptions): Admin {
  const { config, agent, table, hostAddresses } = options;
  const networkNamespace = networkNamespaceKey();
  const startedAt = Math.floor(options.clock.date());
  const status = () => statusOf(options, networkNamespace, startedAt);
  const facts: AdminFacts = {
    mode: config.mode,
    table,
    world: () => ({ ...worldOf(table, config.serviceProxyName, hostAddresses()), ledOn: options.ledOn }),
    rules: (world) => rulesOf(config, world),
    digest: (keysOf) => options.dataplane.digest?.(table, keysOf),
    problems: () => agent.problems(),
    choice: (name, family) => choiceOf(options.dataplane, name, family),
    status: async () => ({ ...status(), ...(await tableStatus(table, config.mode)) }),
    flows: options.flows,
    balancer: options.balancer,
    syncs: () => agent.syncs.records,
  };
  return { api: adminApi(facts), pageApi: adminApi(facts), status };
}

function choiceOf(
  dataplane: AdminOptions['dataplane'],
  name: string,
  family: IpFamily,
): ExplainedChoice | undefined {
  const report = dataplane.choiceReport?.();
  const chosen = report?.servicePorts.find(
    ({ servicePort }) => servicePort.name === name && servicePort.family === family,
  );
  if (report === undefined || chosen === undefined) return undefined;
  const endpoints = [...chosen.endpoints].map(({ target, active, chosen: count, isAway }) => [
    target,
    { connections: active, chosen: count, isAway },
  ]);
  return { queue: report.queue, queues: report.queues, endpoints: Object.fromEntries(endpoints) };
}

/** Undefined when it cannot be had: that keeps nobody from being served. */
export async function openAdmin({ api, status }: Admin, log: Logger): Promise<OpenAdmin | undefined> {
  try {
    const server = await AdminServer.open(adminSockets(), api, claimFile);
    const refreshNote = noteWriter(status, log);
    refreshNote();
    return {
      path: server.path,
      refreshNote,
      close: () => server.close(),
    };
  } catch (error) {
    log.warn(`commands cannot ask this agent: ${messageOf(error)}`);
    return undefined;
  }
}

/** Returns what writes the note. It never throws, and says each failure once: whoever asks a living agent does not need the note. */
function noteWriter(status: () => OwnStatus, log: Logger): () => void {
  let said = '';
  return () => {
    try {
      writeNote(agentNote(), status());
      said = '';
    } catch (error) {
      const why = messageOf(error);
      if (why !== said) log.warn(`commands will not know how this agent was called when it is gone: ${why}`);
      said = why;
    }
  };
}

/** What a command needs to look by itself: how the agent was called, in which mode. */
function writeNote(
  path: string,
  { version, mode, node, pid, startedAt, networkNamespace, ...status }: OwnStatus,
): void {
  const note = {
    version,
    mode,
    node,
    pid,
    startedAt,
    networkNamespace,
    arguments: status.arguments,
    folder: status.folder,
    ruleFacts: status.ruleFacts,
  };
  rmSync(path, { force: true });
  writeFileSync(path, `${JSON.stringify(note)}\n`, { mode: 0o600, flag: 'wx' });
}

function statusOf(
  { config, agent, table, dataplane, departure, version }: AdminOptions,
  networkNamespace: string,
  startedAt: number,
): OwnStatus {
  const { ready, reason, contacts } = agent.healthState();
  const problems = agent.problems();
  return {
    version,
    mode: config.mode,
    description: dataplane.description,
    node: config.nodeName,
    pid: process.pid,
    networkNamespace,
    startedAt,
    arguments: process.argv.slice(2),
    folder: process.cwd(),
    ruleFacts: dataplane.ruleFacts?.(table) ?? NO_RULE_FACTS,
    queues: dataplane.queueStates?.() ?? [],
    ready,
    waitingFor: ready ? '' : reason,
    departure: departure().type,
    departureSays: sayingOf(departure()),
    sources: contacts.map(({ resource, connected, reason: why }) => ({
      resource,
      connected,
      reason: why ?? '',
    })),
    problems: problems.slice(0, SHOWN_PROBLEMS),
    problemCount: problems.length,
    residentMemory: process.memoryUsage.rss(),
  };
}

function sayingOf(state: DepartureState): string {
  if (state.type === 'serving') return '';
  return state.type === 'waiting' ? `${state.asked}; ${state.why}` : state.successor;
}

/** The agent with a dataplane and a source that do as they are told, on addresses of its own on loopback. */
import pino from 'pino';
import type { Test } from 'tap';
import { Agent, type AgentOptions } from '../../src/agent/Agent.js';
import { AgentServers } from '../../src/agent/servers/AgentServers.js';
import {
  type Dataplane,
  type DataplaneListener,
  type FamilyReport,
  type SyncReport,
  UNHEARD,
} from '../../src/dataplane/Dataplane.js';
import type { ObjectSource, SourceListener } from '../../src/kubernetes/ObjectSource.js';
import type { IpFamily } from '../../src/net/ip.js';
import { EventRecorder } from '../../src/observe/events/EventRecorder.js';
import { AgentMetrics } from '../../src/observe/metrics/AgentMetrics.js';
import { RoutingTable } from '../../src/routing/RoutingTable.js';
import { systemClock } from '../../src/time/Clock.js';
import { runFile } from '../unit/config/runCommand.js';
import { ip } from './builders.js';

const report = (family: IpFamily, kind: FamilyReport['kind']): FamilyReport => ({
  family,
  kind,
  written: 1,
  transactions: 1,
  kernelMs: 1,
  totalMs: 2,
});

export class NotingDataplane implements Dataplane {
  readonly description = 'none';
  readonly families: readonly IpFamily[] = ['IPv4', 'IPv6'];
  /** agentWorld() makes it the agent. */
  listener: DataplaneListener = UNHEARD;
  /** Families that cannot be synced. */
  broken: readonly IpFamily[] = [];
  syncs = 0;

  async sync(): Promise<SyncReport> {
    const kind = this.syncs++ === 0 ? 'full' : 'partial';
    for (const family of this.broken) this.listener.familyFailed(family);
    const reports = this.families
      .filter((family) => !this.broken.includes(family))
      .map((family) => report(family, kind));
    if (this.broken.length === 0) return { families: reports, problems: [] };
    for (const each of reports) this.listener.familySynced(each);
    throw new Error('the kernel says no');
  }

  /** How often everything was to be looked at. */
  lookedAt = 0;

  requireFull(): void {
    this.lookedAt++;
  }

  async verify(): Promise<string | undefined> {
    return undefined;
  }

  async close(): Promise<void> {}
}

/** An address on loopback that no other process uses for this. */
export const HOST = ip(`127.79.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`);
/** The same array as long as they do not change. */
const ADDRESSES = [HOST];

export interface AgentWorld {
  readonly agent: Agent;
  /** The servers and the agent. */
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
  readonly metrics: AgentMetrics;
  readonly table: RoutingTable;
  /** What the source may say. Throws before the agent was started. */
  readonly tell: () => SourceListener;
}

export interface AgentWorldOptions extends Partial<AgentOptions> {
  /** The configuration file. */
  readonly text: string;
}

/** Not started yet. */
export function agentWorld({ text, ...options }: AgentWorldOptions): AgentWorld {
  const { config } = runFile(text);
  let listener: SourceListener | undefined;
  const source: ObjectSource = {
    name: 'the source',
    start: async (given) => {
      listener = given;
    },
    stop: async () => {},
  };
  const table = new RoutingTable({
    nodeName: 'node1',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
  });
  const metrics = new AgentMetrics();
  metrics.follow(config.mode || 'nftables', (family) => table.servicePorts(family).values());
  const dataplane = options.dataplane ?? new NotingDataplane();
  const agent = new Agent({
    config,
    sources: [source],
    table,
    connections: { take: () => {}, clean: async () => {} },
    metrics,
    events: new EventRecorder({ hostname: 'host1', request: undefined, onFailure: () => {} }),
    hostAddresses: () => ADDRESSES,
    beforeFirstSync: async () => {},
    afterFirstSync: async () => {},
    clock: systemClock,
    random: Math.random,
    log: pino({ level: 'silent' }),
    ...options,
    dataplane,
  });
  if (dataplane instanceof NotingDataplane) dataplane.listener = listenerOf(agent);
  const tell = (): SourceListener => {
    if (listener === undefined) throw new Error('not started');
    return listener;
  };
  const servers = new AgentServers({
    config,
    agent,
    dataplane,
    table,
    metrics,
    pages: new Map(),
    pageSource: { ask: async () => ({}), follow: () => () => {} },
    balancer: () => 'none',
    onFailed: () => {},
    clock: systemClock,
    log: pino({ level: 'silent' }),
  });
  const start = async () => {
    await servers.start();
    await agent.start();
  };
  const stop = async () => {
    servers.close();
    await agent.stop();
  };
  return { agent, start, stop, metrics, table, tell };
}

function listenerOf(agent: Agent): DataplaneListener {
  return {
    ...UNHEARD,
    familyFailed: (family) => agent.familyFailed(family),
    familySynced: (report) => agent.familySynced(report),
  };
}

/** Stopped when the test ends. */
export async function runningAgent(t: Test, options: AgentWorldOptions): Promise<AgentWorld> {
  const world = agentWorld(options);
  await world.start();
  t.teardown(() => world.stop());
  return world;
}

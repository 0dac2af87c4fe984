/** One process of the agent on a simulated host, put together as NodeAgent does, with what the host has in place of a kernel. */
import pino from 'pino';
import { Agent } from '../../src/agent/Agent.js';
import { LeftoverRemoval } from '../../src/agent/LeftoverRemoval.js';
import { makeTable } from '../../src/agent/makeTable.js';
import type { NodeConfig } from '../../src/config/NodeConfig.js';
import type { Dataplane, DataplaneListener } from '../../src/dataplane/Dataplane.js';
import { IptablesDataplane } from '../../src/dataplane/iptables/IptablesDataplane.js';
import { IpvsDataplane } from '../../src/dataplane/ipvs/IpvsDataplane.js';
import { isNotOurs } from '../../src/dataplane/nftables/desired/sets.js';
import { NftablesDataplane, TABLE } from '../../src/dataplane/nftables/NftablesDataplane.js';
import { NOTHING_KNOWN } from '../../src/dataplane/userspace/encodeServices.js';
import { CAPTURE_TABLE, UserspaceDataplane } from '../../src/dataplane/userspace/UserspaceDataplane.js';
import { readGeneration } from '../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../src/kernel/nftables/table/NftablesTable.js';
import { TableWatch } from '../../src/kernel/nftables/table/TableWatch.js';
import { Sysctls } from '../../src/kernel/sysctl/Sysctls.js';
import { KubernetesSource } from '../../src/kubernetes/KubernetesSource.js';
import { iptablesOptions } from '../../src/modes/iptablesMode.js';
import { ipvsOptions } from '../../src/modes/ipvsMode.js';
import { nftablesOptions } from '../../src/modes/nftablesMode.js';
import { captureOptions } from '../../src/modes/userspaceMode.js';
import { IP_FAMILIES, type IpAddress, type IpFamily } from '../../src/net/ip.js';
import { EventRecorder } from '../../src/observe/events/EventRecorder.js';
import { AgentMetrics } from '../../src/observe/metrics/AgentMetrics.js';
import type { RoutingTable } from '../../src/routing/RoutingTable.js';
import { ip } from '../support/builders.js';
import { CELL_BYTES, FakeEngine } from '../support/FakeEngine.js';
import { runFile } from '../unit/config/runCommand.js';
import type { Chance } from './Chance.js';
import { type Cluster, NODE, NODE_ADDRESSES } from './Cluster.js';
import type { Mode } from './modes.js';
import { removeOthers } from './removeOthers.js';
import type { SimulatedHost } from './SimulatedHost.js';
import type { VirtualTime } from './VirtualTime.js';

const HOST_ADDRESSES: readonly IpAddress[] = [...NODE_ADDRESSES, '127.0.0.1', '::1'].map(ip);
const FALLBACK: Readonly<Record<IpFamily, IpAddress>> = {
  IPv4: ip(NODE_ADDRESSES[0]),
  IPv6: ip(NODE_ADDRESSES[1]),
};

export interface World {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly cluster: Cluster;
  readonly host: SimulatedHost;
  /** What the agent says, for those who replay a history. */
  readonly say: ((line: string) => void) | undefined;
}

export class SimulatedAgent {
  readonly mode: Mode;
  readonly process: number;
  readonly engine: FakeEngine | undefined;
  readonly #world: World;
  readonly #agent: Agent;
  readonly #source: KubernetesSource;
  readonly #events: EventRecorder;
  readonly #dataplane: Dataplane;
  readonly #leftovers: LeftoverRemoval;
  readonly table: RoutingTable;
  hasSynced = false;

  constructor(world: World, mode: Mode, options = '') {
    this.#world = world;
    this.mode = mode;
    this.process = world.host.begin();
    const isAlive = () => world.host.isAlive(this.process);
    const { config } = runFile(
      `mode: ${mode}\nhostnameOverride: ${NODE}\nhealthzBindAddress: ""\n${options}`,
    );
    const { time, chance, cluster } = world;
    const log = logTo(world.say);
    this.table = makeTable(config, FALLBACK);
    this.#source = new KubernetesSource({
      transport: cluster.transport(isAlive),
      nodeName: NODE,
      serviceProxyName: '',
      log,
      clock: time,
      random: chance.random,
    });
    const listener: DataplaneListener = {
      foreignChange: (what) => this.#agent.foreignChange(what),
      familyFailed: (family) => this.#agent.familyFailed(family),
      familySynced: (report) => this.#agent.familySynced(report),
      restoreFailed: (family, kind) => this.#agent.restoreFailed(family, kind),
      captured: () => {},
      succeeded: () => {},
    };
    this.engine = mode === 'userspace' ? new FakeEngine([], CELLS) : undefined;
    this.#dataplane = openDataplane(world, this.process, config, listener, this.engine);
    this.#events = new EventRecorder({ hostname: NODE, request: undefined, onFailure: () => {} });
    this.#leftovers = new LeftoverRemoval({
      remove: () =>
        removeOthers(world.host, this.process, mode).then(
          () => [],
          (error: unknown) => [`rules of another mode may be left: ${error}`],
        ),
      clock: time,
      random: chance.random,
      log,
    });
    this.#agent = new Agent({
      config,
      sources: [this.#source],
      table: this.table,
      dataplane: this.#dataplane,
      connections: { take: () => {}, clean: async () => {} },
      metrics: sharedMetrics(),
      events: this.#events,
      hostAddresses: () => HOST_ADDRESSES,
      beforeFirstSync: async () => {},
      afterFirstSync: async () => {
        this.hasSynced = true;
        await this.#leftovers.run();
      },
      clock: time,
      random: chance.random,
      log,
    });
  }

  start(): Promise<void> {
    return this.#agent.start();
  }

  /** As NodeAgent closes: in reverse. */
  async stop(): Promise<void> {
    await this.#agent.stop();
    await this.#leftovers.stop();
    await this.#events.stop();
    await this.#dataplane.close();
    await this.#source.stop();
  }

  kill(): void {
    this.#world.host.kill();
  }
}

const SILENT = pino({ level: 'silent' });

/** Counters of the engine, which nobody counts up here: 16 MB that are made once. */
const CELLS = new ArrayBuffer(CELL_BYTES);

/** To make them costs more than a whole history. */
let metrics: AgentMetrics | undefined;
function sharedMetrics(): AgentMetrics {
  metrics ??= new AgentMetrics();
  return metrics;
}

function logTo(say: ((line: string) => void) | undefined): pino.Logger {
  if (!say) return SILENT;
  return pino({ level: 'info', base: null, timestamp: false }, { write: say });
}

function openDataplane(
  world: World,
  process: number,
  config: NodeConfig,
  listener: DataplaneListener,
  engine: FakeEngine | undefined,
): Dataplane {
  const { host } = world;
  const addresses = () => HOST_ADDRESSES;
  switch (config.mode) {
    case 'nftables':
      return openTable(world, process, TABLE, nftablesOptions(config), listener);
    case 'ipvs':
      return new IpvsDataplane(
        ipvsOptions(config),
        {
          description: 'IPVS',
          kernels: host.ipvsKernels(process),
          addresses,
          randomFully: true,
          localhostPorts: () => ({ tcp: 40_001, udp: 40_002 }),
          rulesState: async () => String(host.ruleCommits()),
          close: async () => {},
        },
        listener,
      );
    case 'userspace':
      if (!engine) throw new TypeError('mode userspace has an engine');
      return new UserspaceDataplane(
        {
          families: IP_FAMILIES,
          udpIdleTimeout: 250,
          drainTimeout: undefined,
          sourceAddress: 'node',
          shutdownTimeout: 0,
          takeoverPath: '',
        },
        {
          engine,
          capture: (heard) => openTable(world, process, CAPTURE_TABLE, captureOptions(config), heard),
          address: (family) => FALLBACK[family],
          facts: () => NOTHING_KNOWN,
          divert: async () => {},
          say: (level, text) => world.say?.(`${level} ${text}`),
        },
        listener,
      );
    default:
      return new IptablesDataplane(
        iptablesOptions(config),
        {
          tools: host.tools(process),
          sysctls: new NoSysctls(),
          createCounters: async () => true,
          readCounters: async () => new Map(),
          watch: {
            state: async () => String(host.ruleCommits()),
            isOurs: (before, after, transactions) => Number(after) === Number(before) + transactions,
          },
          close: async () => {},
          addresses,
        },
        listener,
      );
  }
}

function openTable(
  { host }: World,
  process: number,
  name: string,
  options: ReturnType<typeof nftablesOptions>,
  listener: DataplaneListener,
): NftablesDataplane {
  const channel = host.channel(process);
  const watching = host.channel(process);
  return new NftablesDataplane(
    options,
    {
      tables: IP_FAMILIES.map((family) => new NftablesTable(channel, family, name)),
      addresses: () => HOST_ADDRESSES,
      watch: (handlers) => {
        new TableWatch(watching, { table: name, ownPort: channel.portId, ignores: isNotOurs, ...handlers });
      },
      generation: () => readGeneration(channel),
      localhostPorts: () => ({ tcp: 40_001, udp: 40_002 }),
      close: async () => {
        watching.close();
        channel.close();
      },
    },
    listener,
  );
}

/** Every one is as wanted. */
class NoSysctls extends Sysctls {
  override read(): string | undefined {
    return '1';
  }

  override ensure(): 'unchanged' {
    return 'unchanged';
  }
}

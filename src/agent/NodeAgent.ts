/**
 * Everything of penstock on a node, put together for one configuration: what can be wrong is found before the host is
 * touched, what is open stands in one list, and that is closed in reverse, whatever fails and when.
 */

import type { Logger } from 'pino';
import { effectiveConfiguration } from '../config/file/effectiveConfiguration.js';
import type { Run } from '../config/flags/parseRunCommand.js';
import { type NodeConfig, toNodeConfig } from '../config/NodeConfig.js';
import type { Dataplane, DataplaneListener } from '../dataplane/Dataplane.js';
import type { WakeListener } from '../dataplane/wake/Holder.js';
import { messageOf } from '../errors.js';
import { giveBackSoon } from '../host/heap.js';
import { modeSysctls, setSysctls, tuneConntrack } from '../host/hostTuning.js';
import { OpenList } from '../host/OpenList.js';
import { settleMode } from '../modes/chooseMode.js';
import type { OpenMode } from '../modes/ModeHost.js';
import { EventRecorder } from '../observe/events/EventRecorder.js';
import { serverFailed } from '../observe/events/occurrences.js';
import { RefusalNotices } from '../observe/flows/RefusalNotices.js';
import type { Page } from '../observe/http/MetricsServer.js';
import { profilePages } from '../observe/http/profilePages.js';
import { statusPages } from '../observe/http/statusPages.js';
import { AgentMetrics } from '../observe/metrics/AgentMetrics.js';
import type { NodeFacts } from '../routing/NodeFacts.js';
import type { RoutingTable } from '../routing/RoutingTable.js';
import { Agent } from './Agent.js';
import { ConnectionCleaning, type ConnectionCleaningOptions } from './ConnectionCleaning.js';
import { LeftoverRemoval } from './LeftoverRemoval.js';
import { openDeparture } from './leave/openDeparture.js';
import { makeTable } from './makeTable.js';
import type { NodeHost } from './NodeHost.js';
import { openSources } from './openSources.js';
import { ConfigAdvice } from './reload/ConfigAdvice.js';
import { once, serveEarly } from './serveEarly.js';
import { AgentServers } from './servers/AgentServers.js';
import { makeAdmin, type OpenAdmin } from './servers/openAdmin.js';
import { pageSource } from './servers/pageSource.js';
import { summaryOf } from './servers/summaryOf.js';

type AddressWatch = Awaited<ReturnType<NodeHost['watchAddresses']>>;

export interface NodeAgentOptions {
  readonly run: Run;
  /** Of penstock. */
  readonly version: string;
  readonly host: NodeHost;
  readonly log: Logger;
}

export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #config: NodeConfig;
  readonly #hostAddresses: NodeFacts['addresses'];
  readonly #advice: ConfigAdvice;
  readonly #open: OpenList;
  #endsForGood = false;
  #serveAgain: () => void = () => {};
  #succeed: () => void = () => {};
  #isSucceeded = false;
  #hasServed: () => void = () => {};
  #summary: () => string = () => 'Starting';
  /** Resolves when the first sync has put everything in force, or has left the node to another proxy. */
  readonly served: Promise<void>;
  /** Resolves when another penstock goes on with the work of this one. */
  readonly succeeded: Promise<void>;
  /** Resolves when a node that was left is to be served again, by another agent. */
  readonly returned: Promise<void>;

  /** Serves. Rejects with what cannot be; nothing is open then. */
  static async start(options: NodeAgentOptions): Promise<NodeAgent> {
    const node = await NodeAgent.#look(options);
    await node.#open.closeUnless(() => node.#start());
    return node;
  }

  /** --init-only: makes the settings of the host, and is open no longer. Rejects with what cannot be. */
  static async initialise(options: NodeAgentOptions): Promise<void> {
    const node = await NodeAgent.#look(options);
    const { log, host } = options;
    try {
      // Nothing is told before the first sync.
      const { prepareHost } = await node.#openMode(await node.#openAddresses(), 0, () => {
        throw new TypeError('there is no agent');
      });
      tuneConntrack(node.#config, host.sysctls, log);
      setSysctls(modeSysctls(node.#config), host.sysctls, log);
      await prepareHost();
    } finally {
      await node.#open.close();
    }
    log.info('--init-only: the settings of the host are made, nothing is served');
  }

  /**
   * Ends in order. The rules stay: traffic goes on while no agent runs. Never rejects. `for good`: where another proxy has rules
   * too, they come before ours from now on; `to go on`: another agent of this process follows.
   */
  stop(why: 'for good' | 'to go on'): Promise<void> {
    this.#endsForGood = why === 'for good';
    return this.#open.close();
  }

  /** How the agent does, in one line. */
  get summary(): string {
    return this.#summary();
  }

  /** What this host is, and whether it can be served with this configuration. Opens nothing that stays. */
  static async #look(options: NodeAgentOptions): Promise<NodeAgent> {
    const { run, host, log } = options;
    const withMode = (mode: NodeConfig['mode']) => toNodeConfig({ ...run.source, mode }, host.hostname());
    const config = await settleMode(run.config, withMode, host.probeKernel, log);
    const hostAddresses = await host.primaryAddresses();
    const advice = new ConfigAdvice(config, host.families(), log);
    advice.atStart(hostAddresses);
    return new NodeAgent(options, config, hostAddresses, advice);
  }

  private constructor(
    options: NodeAgentOptions,
    config: NodeConfig,
    hostAddresses: NodeFacts['addresses'],
    advice: ConfigAdvice,
  ) {
    this.#options = options;
    this.#config = config;
    this.#hostAddresses = hostAddresses;
    this.#advice = advice;
    this.#open = new OpenList(options.log);
    this.returned = new Promise((resolve) => {
      this.#serveAgain = resolve;
    });
    this.succeeded = new Promise((resolve) => {
      this.#succeed = resolve;
    });
    this.served = new Promise((resolve) => {
      this.#hasServed = resolve;
    });
  }

  async #start(): Promise<void> {
    const { run, version, host, log } = this.#options;
    const { sysctls, clock, random } = host;
    const config = this.#config;
    host.heap.grow();
    let cancelGiveBack = () => {};
    this.#open.add('the heap', async () => {
      cancelGiveBack();
      host.heap.keepSmall();
    });
    const table = makeTable(config, this.#hostAddresses);
    const { sources, apiServer } = await openSources(run, version, host, log);
    for (const source of sources) this.#open.add(source.name, () => source.stop());
    const addresses = await this.#openAddresses();
    const metrics = this.#makeMetrics((family) => table.servicePorts(family).values());
    const events = new EventRecorder({
      hostname: host.hostname(),
      request: apiServer && ((method, path, body) => apiServer.send(method, path, body)),
      onFailure: (why) => log.warn(`Events cannot be sent: ${why}`),
      clock,
    });
    this.#open.add('Events', () => events.stop());
    const notices = new RefusalNotices(() => clock.now());
    const flows = await host.openFlows({
      mode: config.mode,
      node: config.nodeName,
      table,
      clock,
      onPacket: (record) => metrics.refusals.add(record),
      onRecord: (record) => {
        const notice = notices.of(record);
        if (notice) events.record(notice);
      },
      log,
    });
    this.#open.add('the flow log', () => flows.close());
    const waking = host.openWaking({ config, table, events, apiServer, clock, random, log });
    this.#open.add('the watch on idle Services', () => waking.close());
    const { dataplane, prepareHost } = await this.#openMode(
      addresses,
      flows.group,
      () => agent,
      waking.listener,
    );
    const departure = openDeparture({
      config,
      inMode: (mode) => toNodeConfig({ ...run.source, mode }, host.hostname()),
      leaving: host.leaving,
      table,
      hostAddresses: () => addresses.addresses,
      sysctls,
      agent: () => agent,
      release: () => servers.close(),
      serveAgain: () => this.#serveAgain(),
      onStay: () => leftovers.goOn(),
      events,
      clock,
      log,
    });
    if (apiServer) apiServer.observer = metrics.requests;
    const connections = this.#openConnections(
      addresses,
      metrics,
      (family) => dataplane.ruleFacts?.(table).families[family]?.localhostPorts ?? {},
    );
    let socket: OpenAdmin | undefined;
    const leftovers = new LeftoverRemoval({
      // The rules of whoever is to follow are not what another mode left.
      mayRemove: () => departure.state.type === 'serving',
      remove: () => host.removeOtherModes(config, log),
      clock,
      random,
      log,
    });
    this.#open.add('the removal of other modes', () => leftovers.stop());
    const balancer = await host.openBalancer({ config, table, api: apiServer, events, clock, random, log });
    this.#open.add('the load balancer', () => balancer.close(this.#isSucceeded));
    const prepare = once(async () => {
      tuneConntrack(config, sysctls, log);
      host.setOomScore(config.oomScoreAdj, (text) => log.info(text));
      await prepareHost();
    });
    let endEarly = async () => {};
    const agent: Agent = new Agent({
      config,
      sources,
      table,
      dataplane,
      connections,
      metrics,
      events,
      hostAddresses: () => addresses.addresses,
      follower: balancer.follower,
      beforeFirstSync: prepare,
      mayServe: async () => {
        await endEarly();
        const isLeft = await departure.isOver();
        if (isLeft) this.#hasServed();
        return !isLeft;
      },
      afterFirstSync: async () => {
        host.heap.keepSmall();
        host.heap.compileSoon();
        cancelGiveBack = giveBackSoon(host.heap, clock);
        this.#advice.onNode(table);
        await leftovers.run();
        socket?.refreshNote();
      },
      onServing: () => {
        balancer.serving();
        this.#hasServed();
      },
      clock,
      random,
      log,
    });
    this.#open.add('the agent', async () => {
      await agent.stop();
      if (this.#endsForGood && departure.state.type !== 'left') await this.#standBack(dataplane, table);
    });
    this.#summary = () => summaryOf(agent.healthState(), config, table, clock.date());
    addresses.onChange = async () => {
      table.setFallbackAddresses(await host.primaryAddresses());
      agent.hostChanged();
    };
    const admin = makeAdmin({
      config,
      agent,
      table,
      dataplane,
      departure: () => departure.state,
      flows: flows.log,
      balancer: () => balancer.report(),
      ledOn: balancer.ledOn,
      version,
      clock,
      hostAddresses: () => addresses.addresses,
    });
    const servers = new AgentServers({
      config,
      agent,
      dataplane,
      table,
      metrics,
      pages: this.#pages(),
      pageSource: pageSource(admin.pageApi, flows.log),
      balancer: () => balancer.report(),
      onFailed: (server, why) => events.record(serverFailed(config.nodeName, server, why)),
      clock,
      log,
    });
    this.#open.add('the servers', () => servers.close());
    await servers.start();
    departure.start();
    this.#open.add('the departure', () => departure.stop());
    socket = await host.openAdmin(admin, log);
    this.#open.add('the admin socket', () => socket?.close());
    const hostAddresses = this.#hostAddresses;
    endEarly = await serveEarly({ config, apiServer, hostAddresses, dataplane, prepare, host, log });
    this.#open.add('what is served early', endEarly);
    await agent.start();
  }

  async #standBack(dataplane: Dataplane, table: RoutingTable): Promise<void> {
    try {
      await dataplane.standBack?.(table);
    } catch (error) {
      this.#options.log.warn(
        { err: error },
        `our rules still come before those of another proxy: ${messageOf(error)}. If one is to follow, use penstock cleanup`,
      );
    }
  }

  async #openAddresses(): Promise<AddressWatch> {
    const watch = await this.#options.host.watchAddresses();
    this.#open.add('the watch on addresses', () => watch.close());
    return watch;
  }

  async #openMode(
    watch: AddressWatch,
    logGroup: number,
    agent: () => Agent,
    waking?: WakeListener,
  ): Promise<OpenMode> {
    const { host, log } = this.#options;
    const modeHost = {
      clock: host.clock,
      sysctls: host.sysctls,
      addresses: () => watch.addresses,
      ignoreLink: (index: number) => watch.ignoreLink(index),
      logGroup,
      ...(waking && { waking }),
    };
    const listener: DataplaneListener = {
      foreignChange: (what) => agent().foreignChange(what),
      familyFailed: (family) => agent().familyFailed(family),
      familySynced: (report) => agent().familySynced(report),
      restoreFailed: (family, kind) => agent().restoreFailed(family, kind),
      captured: (changes) => agent().captured(changes),
      succeeded: () => {
        this.#isSucceeded = true;
        this.#succeed();
      },
    };
    const mode = await host.openMode(this.#config, modeHost, listener, log);
    this.#open.add(`mode ${this.#config.mode}`, () => mode.dataplane.close());
    log.info(`mode ${this.#config.mode}: ${mode.dataplane.description}`);
    return mode;
  }

  #makeMetrics(servicePorts: Parameters<AgentMetrics['follow']>[1]): AgentMetrics {
    const metrics = new AgentMetrics(() => this.#options.host.clock.date());
    metrics.build(this.#options.version);
    metrics.features(this.#config.featureGates);
    metrics.follow(this.#config.mode || 'nftables', servicePorts);
    return metrics;
  }

  #openConnections(
    watch: AddressWatch,
    metrics: AgentMetrics,
    localhostPorts: ConnectionCleaningOptions['localhostPorts'],
  ): Pick<ConnectionCleaning, 'take' | 'clean'> {
    const { mode, nodePortAddresses, localhostNodePorts } = this.#config;
    const connections = new ConnectionCleaning({
      nodePortAddresses,
      localhostNodePorts: localhostNodePorts && mode === 'iptables' ? ['IPv4'] : [],
      localhostPorts,
      hostAddresses: () => watch.addresses,
      onLooked: (family, deleted, milliseconds) => metrics.connectionsCleaned(family, deleted, milliseconds),
      clock: this.#options.host.clock,
      open: this.#options.host.openConntrack,
      log: this.#options.log,
    });
    this.#open.add('the cleaning of connections', () => connections.stop());
    return connections;
  }

  /** The pages of the metrics port, besides /metrics. */
  #pages(): ReadonlyMap<string, Page> {
    const { run, version, host } = this.#options;
    const { clock } = host;
    const config = this.#config;
    const status = statusPages({
      mode: this.#config.mode,
      version,
      startedAt: clock.date(),
      now: () => clock.date(),
      // Encoded when somebody looks: at start nobody does.
      get configuration() {
        return effectiveConfiguration(run.source, config);
      },
      flags: run.flags,
    });
    return this.#config.enableProfiling ? new Map([...status, ...profilePages()]) : status;
  }
}

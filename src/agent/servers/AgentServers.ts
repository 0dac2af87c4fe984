/** The health server, the metrics server and the page of an agent. */
import type { Logger } from 'pino';
import type { AnnouncerReport } from '../../balancer/announce/report.js';
import type { NodeConfig } from '../../config/NodeConfig.js';
import type { Dataplane } from '../../dataplane/Dataplane.js';
import { messageOf } from '../../errors.js';
import type { ServerName } from '../../observe/events/occurrences.js';
import { startHealthServer } from '../../observe/http/HealthServer.js';
import { type LongPage, type Page, startMetricsServer } from '../../observe/http/MetricsServer.js';
import type { AgentMetrics } from '../../observe/metrics/AgentMetrics.js';
import { choicePieces } from '../../observe/metrics/ChoiceMetrics.js';
import { contactMetrics } from '../../observe/metrics/contactMetrics.js';
import { operatorText, readConntrackUse } from '../../observe/metrics/operatorMetrics.js';
import { ProxyMetrics } from '../../observe/metrics/ProxyMetrics.js';
import { rulePacketText } from '../../observe/metrics/RulePacketMetrics.js';
import { type CountedServicePort, ServiceMetrics } from '../../observe/metrics/ServiceMetrics.js';
import { acceptText, wakeText } from '../../observe/metrics/wakeText.js';
import type { PageSource } from '../../observe/page/PageSource.js';
import { startPageServer } from '../../observe/page/pageServer.js';
import type { RoutingTable } from '../../routing/RoutingTable.js';
import type { Clock } from '../../time/Clock.js';
import type { Agent } from '../Agent.js';
import { balancerMetrics } from './balancerMetrics.js';
import { ServerBinding } from './ServerBinding.js';

export interface AgentServersOptions {
  readonly config: NodeConfig;
  readonly agent: Pick<Agent, 'healthState' | 'contacts' | 'problems'>;
  readonly dataplane: Dataplane;
  readonly table: RoutingTable;
  readonly metrics: AgentMetrics;
  /** Of the metrics port, besides /metrics. */
  readonly pages: ReadonlyMap<string, Page>;
  /** What the page on loopback shows. */
  readonly pageSource: PageSource;
  /** Or why there is none. */
  readonly balancer: () => AnnouncerReport | string;
  /** Hears that one could not be opened although the configuration says that it must. */
  readonly onFailed: (server: ServerName, why: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export class AgentServers {
  readonly #options: AgentServersOptions;
  readonly #bindings: readonly ServerBinding[];

  constructor(options: AgentServersOptions) {
    this.#options = options;
    this.#bindings = [...this.#health(), this.#metrics(), ...this.#page()];
  }

  /** Rejects with PENSTOCK_CANNOT_BIND where bindAddressHardFail is set; close() is still to be called. */
  async start(): Promise<void> {
    for (const binding of this.#bindings) {
      try {
        await binding.start();
      } catch (error) {
        this.#options.onFailed(binding.name, messageOf(error));
        throw error;
      }
    }
  }

  close(): void {
    for (const binding of this.#bindings) binding.close();
  }

  get #rest() {
    const { config, clock, log } = this.#options;
    return { onFailure: config.bindAddressHardFail ? 'fail' : 'try again', clock, log } as const;
  }

  #health(): ServerBinding[] {
    const { config, agent, metrics, clock } = this.#options;
    const { healthz, sync } = config;
    if (healthz === undefined) return [];
    const open = () =>
      startHealthServer({
        ...healthz,
        timeoutMs: 2 * sync.period,
        state: () => agent.healthState(),
        clock,
        onAnswer: (path, code) => metrics.healthAnswered(path, code),
      });
    return [new ServerBinding({ name: 'health server', open, ...this.#rest })];
  }

  #metrics(): ServerBinding {
    const { config, pages } = this.#options;
    const all = new Map<string, Page | LongPage>([...pages, ['/metrics', this.#metricsPage()]]);
    const open = () => startMetricsServer({ ...config.metrics, pages: all });
    return new ServerBinding({ name: 'metrics server', open, ...this.#rest });
  }

  #page(): ServerBinding[] {
    const { config, pageSource } = this.#options;
    const { web } = config;
    if (web === undefined) return [];
    const open = () => startPageServer({ ...web, source: pageSource, clock: this.#options.clock });
    return [new ServerBinding({ name: 'page', open, ...this.#rest })];
  }

  #metricsPage(): LongPage {
    const { config, agent, dataplane, table, metrics, balancer } = this.#options;
    const limit = config.serviceMetricsLimit;
    const services = new ServiceMetrics({
      limit,
      read: () =>
        this.#read<readonly CountedServicePort[]>('counters of service ports', () =>
          dataplane.connectionCounters?.(table),
        ),
    });
    const endpointLimit = config.endpointMetricsLimit;
    const proxy = new ProxyMetrics({ limit, endpointLimit, read: () => dataplane.proxyReport?.() });
    const read = this.#read.bind(this);
    async function* pieces(): AsyncGenerator<string> {
      yield await metrics.text();
      yield rulePacketText(await read('packet counters of rules', () => dataplane.rulePackets?.()));
      yield* services.pieces();
      yield* proxy.pieces();
      yield* choicePieces(dataplane.choiceReport?.(), { limit, endpointLimit });
      yield wakeText(dataplane.wakeReport?.()) + acceptText(dataplane.acceptReport?.());
      const conntrack = readConntrackUse();
      yield operatorText({ mode: config.mode, table, problems: agent.problems(), conntrack });
      yield contactMetrics(agent.contacts()) + balancerText(balancer(), limit);
    }
    return {
      contentType: metrics.contentType,
      headers: metrics.headers,
      pieces,
    };
  }

  /** Undefined when the mode has none, or the kernel does not tell at present. */
  async #read<T>(what: string, read: () => Promise<T> | undefined): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      this.#options.log.warn({ err: error }, `the ${what} could not be read: ${messageOf(error)}`);
      return undefined;
    }
  }
}

function balancerText(report: AnnouncerReport | string, limit: number): string {
  return typeof report === 'string' ? '' : balancerMetrics(report, limit);
}

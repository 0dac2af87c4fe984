/**
 * What the agent measures of its own work, under kube-proxy's names where it has them. docs/metrics.md lists them all.
 * Buckets and meanings: pkg/proxy/metrics of Kubernetes 1.36.
 */

import { Counter, exponentialBuckets, Gauge, Histogram, linearBuckets, Registry } from 'prom-client';
import { IP_FAMILIES, type IpFamily } from '../../net/ip.js';
import type { ObjectChange } from '../../objects/ApiObject.js';
import type { ChangeSet } from '../../routing/ChangeSet.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { systemClock } from '../../time/Clock.js';
import { IptablesMetrics, type TableRules } from './IptablesMetrics.js';
import { processRegistry } from './processMetrics.js';
import { RefusalMetrics } from './RefusalMetrics.js';
import { RestClientMetrics } from './RestClientMetrics.js';
import { type FailingMode, SyncStateMetrics } from './SyncStateMetrics.js';

/** What a sync did in one family. */
export interface SyncedFamily {
  readonly family: IpFamily;
  readonly kind: 'full' | 'partial' | 'none';
  /** Milliseconds. */
  readonly totalMs: number;
  readonly rules?: readonly TableRules[];
  /** Some of its changes are not in force yet. */
  readonly waiting?: readonly unknown[] | undefined;
}

/** Seconds. */
const SYNC_BUCKETS = exponentialBuckets(0.001, 2, 15);
const PROGRAMMING_BUCKETS = [
  0.25,
  0.5,
  ...linearBuckets(1, 1, 59),
  ...linearBuckets(60, 5, 12),
  ...linearBuckets(120, 30, 7),
];

/** Changes of a family whose times are remembered until they are in force. */
const MOST_WAITING = 10_000;

type ByFamily = 'ip_family';

const PLATFORM = `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`;

export class AgentMetrics {
  readonly #registry = new Registry();
  readonly #now: () => number;
  readonly #startedAt: number;
  /** Connections that failed. */
  readonly refusals = new RefusalMetrics(this.#registry);
  /** To the API server. */
  readonly requests: RestClientMetrics;
  readonly #duration = this.#histogram(
    'kubeproxy_sync_proxy_rules_duration_seconds',
    'Time that a sync took, also if it failed.',
    SYNC_BUCKETS,
  );
  readonly #durationOf: Readonly<Record<'full' | 'partial', Histogram<ByFamily>>> = {
    full: this.#histogram(
      'kubeproxy_sync_full_proxy_rules_duration_seconds',
      'Time that a sync took which looked at everything.',
      SYNC_BUCKETS,
    ),
    partial: this.#histogram(
      'kubeproxy_sync_partial_proxy_rules_duration_seconds',
      'Time that a sync took which wrote only what had changed.',
      SYNC_BUCKETS,
    ),
  };
  readonly #programming = this.#histogram(
    'kubeproxy_network_programming_duration_seconds',
    'Time from a change of endpoints in the cluster until it was in force here.',
    PROGRAMMING_BUCKETS,
  );
  readonly #lastSync = new Gauge({
    name: 'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
    help: 'When the last sync succeeded, in seconds since the epoch.',
    labelNames: ['ip_family'],
    registers: [this.#registry],
  });
  readonly #changed = {
    Service: this.#counter(
      'kubeproxy_sync_proxy_rules_service_changes_total',
      'Changes of Services that arrived.',
    ),
    EndpointSlice: this.#counter(
      'kubeproxy_sync_proxy_rules_endpoint_changes_total',
      'Changes of EndpointSlices that arrived.',
    ),
  };
  readonly #repairs = this.#counter(
    'penstock_repairs_total',
    'How often somebody else had changed our kernel state and it was repaired.',
  );
  readonly #cleaning = this.#histogram(
    'kubeproxy_conntrack_reconciler_sync_duration_seconds',
    'Time that it took to find and delete connections to endpoints that are no longer there.',
    SYNC_BUCKETS,
  );
  readonly #deletedConnections = new Counter({
    name: 'kubeproxy_conntrack_reconciler_deleted_entries_total',
    help: 'Connections that were deleted because their endpoint may not serve any more.',
    labelNames: ['ip_family'],
    registers: [this.#registry],
  });
  readonly #healthAnswers = {
    '/healthz': this.#answers('kubeproxy_proxy_healthz_total', 'Answers of /healthz by status code.'),
    '/livez': this.#answers('kubeproxy_proxy_livez_total', 'Answers of /livez by status code.'),
  };
  #state: SyncStateMetrics | undefined;
  #iptables: IptablesMetrics | undefined;
  /** Times of changes that are not in force yet; milliseconds since the epoch. */
  readonly #waiting: Record<IpFamily, number[]> = { IPv4: [], IPv6: [] };

  /** `now`: milliseconds since the epoch. */
  constructor(now: () => number = systemClock.date) {
    this.#now = now;
    this.#startedAt = now();
    this.requests = new RestClientMetrics(this.#registry);
  }

  /** Metrics that differ with the mode, and those that read the routing table. */
  follow(mode: FailingMode, ports: (family: IpFamily) => Iterable<ServicePort>): void {
    this.#state = new SyncStateMetrics(this.#registry, mode, ports);
    if (mode === 'iptables') this.#iptables = new IptablesMetrics(this.#registry);
  }

  /** A build of ours in the words of Kubernetes. */
  build(version: string): void {
    const [major = '', minor = ''] = version.split('.');
    const labels = { git_version: `v${version}`, major, minor, compiler: 'node', platform: PLATFORM };
    new Gauge({
      name: 'kubernetes_build_info',
      help: 'The version of penstock, always 1.',
      labelNames: Object.keys(labels),
      registers: [this.#registry],
    }).set(labels, 1);
  }

  /** Feature gates that mean something here, 1 for those that are on. */
  features(gates: Readonly<Record<string, boolean>>): void {
    const gauge = new Gauge({
      name: 'kubernetes_feature_enabled',
      help: 'Feature gates that penstock knows; 1: on.',
      labelNames: ['name', 'stage'],
      registers: [this.#registry],
    });
    for (const [name, on] of Object.entries(gates)) gauge.set({ name, stage: '' }, on ? 1 : 0);
  }

  syncQueued(): void {
    this.#state?.queued(this.#now());
  }

  syncFailed(family: IpFamily, milliseconds: number): void {
    this.#duration.observe({ ip_family: family }, milliseconds / 1000);
    this.#state?.failed(family);
  }

  restoreFailed(family: IpFamily, kind: 'full' | 'partial'): void {
    this.#iptables?.restoreFailed(family, kind);
  }

  healthAnswered(path: '/healthz' | '/livez', code: number): void {
    this.#healthAnswers[path].inc({ code });
  }

  /** As kube-proxy says it: the names need no escaping. */
  get contentType(): string {
    return `${this.#registry.contentType}; escaping=underscores`;
  }

  /** By which a scraper sees that counts began anew. */
  get headers(): Readonly<Record<string, string>> {
    return { 'Process-Start-Time-Unix': String(Math.floor(performance.timeOrigin / 1000)) };
  }

  /** In Prometheus' text format. */
  async text(): Promise<string> {
    return (await processRegistry().metrics()) + (await this.#registry.metrics());
  }

  objectsChanged(batch: readonly ObjectChange[]): void {
    for (const change of batch) {
      const { kind } = change.type === 'upsert' ? change.object : change.ref;
      if (kind !== 'Service' && kind !== 'EndpointSlice') continue;
      this.#changed[kind].inc();
      this.#state?.arrived(kind);
    }
  }

  /** Before a sync, with everything that it is to write. Changes from before the start say nothing about us. */
  taken(changes: ChangeSet): void {
    this.#state?.taken();
    const times = changes.triggerTimes.filter((time) => time > this.#startedAt);
    for (const family of IP_FAMILIES) {
      const waiting = this.#waiting[family];
      // While a family cannot be synced, those that have waited longest are kept.
      const room = MOST_WAITING - waiting.length;
      if (changes.families[family].length > 0) this.#waiting[family] = waiting.concat(times.slice(0, room));
    }
  }

  /** After a sync that succeeded. */
  synced(families: readonly SyncedFamily[]): void {
    const now = this.#now();
    for (const { family, kind, totalMs, rules, waiting } of families) {
      const labels = { ip_family: family };
      this.#duration.observe(labels, totalMs / 1000);
      if (kind !== 'none') this.#durationOf[kind].observe(labels, totalMs / 1000);
      this.#lastSync.set(labels, now / 1000);
      this.#iptables?.synced(family, rules ?? []);
      if (waiting) continue;
      for (const time of this.#waiting[family]) {
        this.#programming.observe(labels, Math.max(0, now - time) / 1000);
      }
      this.#waiting[family] = [];
    }
  }

  repairing(): void {
    this.#repairs.inc();
  }

  connectionsCleaned(family: IpFamily, deleted: number, milliseconds: number): void {
    this.#deletedConnections.inc({ ip_family: family }, deleted);
    this.#cleaning.observe({ ip_family: family }, milliseconds / 1000);
  }

  #answers(name: string, help: string): Counter<'code'> {
    return new Counter({ name, help, labelNames: ['code'], registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram<ByFamily> {
    return new Histogram({ name, help, buckets, labelNames: ['ip_family'], registers: [this.#registry] });
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.#registry] });
  }
}

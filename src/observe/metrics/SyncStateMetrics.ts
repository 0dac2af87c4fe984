/** What waits to be synced and when, whom policy Local leaves without endpoints, and what syncs failed: kube-proxy's names. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { IP_FAMILIES, type IpFamily } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import { RESTORE_FAILURES } from './IptablesMetrics.js';

export type FailingMode = 'iptables' | 'ipvs' | 'nftables' | 'userspace';

export class SyncStateMetrics {
  readonly #pending: Readonly<Record<'Service' | 'EndpointSlice', Gauge>>;
  readonly #lastQueued: Gauge;
  readonly #failures: Counter<'ip_family'> | undefined;

  /** `ports`: the service ports in force of a family, asked at each scrape. */
  constructor(registry: Registry, mode: FailingMode, ports: (family: IpFamily) => Iterable<ServicePort>) {
    const registers = [registry];
    const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
    this.#pending = {
      Service: gauge(
        'kubeproxy_sync_proxy_rules_service_changes_pending',
        'Changes of Services that no sync has taken yet.',
      ),
      EndpointSlice: gauge(
        'kubeproxy_sync_proxy_rules_endpoint_changes_pending',
        'Changes of EndpointSlices that no sync has taken yet.',
      ),
    };
    this.#lastQueued = new Gauge({
      name: 'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds',
      help: 'When a sync was asked for the last time, in seconds since the epoch.',
      labelNames: ['ip_family'],
      registers,
    });
    new Gauge({
      name: 'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
      help: 'Service ports with endpoints, but none on this node, where a traffic policy wants them here.',
      labelNames: ['traffic_policy', 'ip_family'],
      registers,
      collect() {
        for (const family of IP_FAMILIES) {
          const { internal, external } = countWithoutLocal(ports(family));
          this.set({ traffic_policy: 'internal', ip_family: family }, internal);
          this.set({ traffic_policy: 'external', ip_family: family }, external);
        }
      },
    });
    const failures = FAILURES[mode];
    this.#failures = failures && new Counter({ ...failures, labelNames: ['ip_family'], registers });
    for (const family of failures ? IP_FAMILIES : []) this.#failures?.inc({ ip_family: family }, 0);
    if (mode === 'nftables') registerCleanupFailures(registry);
  }

  arrived(kind: 'Service' | 'EndpointSlice'): void {
    this.#pending[kind].inc();
  }

  /** `now`: milliseconds since the epoch. */
  queued(now: number): void {
    for (const family of IP_FAMILIES) this.#lastQueued.set({ ip_family: family }, now / 1000);
  }

  taken(): void {
    this.#pending.Service.set(0);
    this.#pending.EndpointSlice.set(0);
  }

  failed(family: IpFamily): void {
    this.#failures?.inc({ ip_family: family });
  }
}

const FAILURES: Readonly<Partial<Record<FailingMode, { readonly name: string; readonly help: string }>>> = {
  ipvs: RESTORE_FAILURES,
  nftables: {
    name: 'kubeproxy_sync_proxy_rules_nftables_sync_failures_total',
    help: 'Transactions that the kernel refused.',
  },
};

/** What is stale goes in the transaction that brings what is new: it cannot fail by itself, as kube-proxy's can. */
function registerCleanupFailures(registry: Registry): void {
  const counter = new Counter({
    name: 'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total',
    help: 'Stale rules that could not be removed. Always 0: they go in the same transaction.',
    labelNames: ['ip_family'],
    registers: [registry],
  });
  for (const family of IP_FAMILIES) counter.inc({ ip_family: family }, 0);
}

/** As kube-proxy counts: only where somebody could serve elsewhere. */
function countWithoutLocal(ports: Iterable<ServicePort>): {
  readonly internal: number;
  readonly external: number;
} {
  let internal = 0;
  let external = 0;
  for (const { internalPolicy, externalPolicy, endpoints } of ports) {
    if (!endpoints.any || endpoints.local.length > 0) continue;
    if (internalPolicy === 'Local') internal++;
    if (externalPolicy === 'Local') external++;
  }
  return { internal, external };
}

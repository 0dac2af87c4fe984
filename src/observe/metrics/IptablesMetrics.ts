/** What only mode iptables has: how many rules, and what iptables-restore refused. kube-proxy's names. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { IP_FAMILIES, type IpFamily } from '../../net/ip.js';

/** Rules in our chains of one table. */
export interface TableRules {
  readonly table: 'filter' | 'nat';
  readonly total: number;
  /** By the last sync. */
  readonly written: number;
}

/** Modes iptables and ipvs have it. */
export const RESTORE_FAILURES = {
  name: 'kubeproxy_sync_proxy_rules_iptables_restore_failures_total',
  help: 'Syncs that iptables-restore refused.',
};

export class IptablesMetrics {
  readonly #total: Gauge<'table' | 'ip_family'>;
  readonly #last: Gauge<'table' | 'ip_family'>;
  readonly #failures: Readonly<Record<'restore' | 'partial', Counter<'ip_family'>>>;

  constructor(registry: Registry) {
    const registers = [registry];
    const rules = (name: string, help: string) =>
      new Gauge({ name, help, labelNames: ['table', 'ip_family'], registers });
    this.#total = rules('kubeproxy_sync_proxy_rules_iptables_total', 'Rules in chains of ours.');
    this.#last = rules('kubeproxy_sync_proxy_rules_iptables_last', 'Rules that the last sync wrote.');
    this.#failures = {
      restore: new Counter({ ...RESTORE_FAILURES, labelNames: ['ip_family'], registers }),
      partial: new Counter({
        name: 'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total',
        help: 'Of these, syncs that wrote only what had changed; everything is written after them.',
        labelNames: ['ip_family'],
        registers,
      }),
    };
    for (const counter of Object.values(this.#failures)) {
      for (const family of IP_FAMILIES) counter.inc({ ip_family: family }, 0);
    }
  }

  synced(family: IpFamily, rules: readonly TableRules[]): void {
    for (const { table, total, written } of rules) {
      this.#total.set({ table, ip_family: family }, total);
      this.#last.set({ table, ip_family: family }, written);
    }
  }

  restoreFailed(family: IpFamily, kind: 'full' | 'partial'): void {
    this.#failures.restore.inc({ ip_family: family });
    if (kind === 'partial') this.#failures.partial.inc({ ip_family: family });
  }
}

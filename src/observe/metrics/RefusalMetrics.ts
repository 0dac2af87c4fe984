/** Packets that were refused or dropped, by Service and reason: only of those that had any, and of so many at most. */
import { Counter, type Registry } from 'prom-client';
import type { FlowRecord } from '../flows/FlowLog.js';

const MOST_SERIES = 500;
const OTHERS = { namespace: '', service: '(others)', port: '' };

export class RefusalMetrics {
  readonly #counter: Counter<'namespace' | 'service' | 'port' | 'reason'>;
  readonly #known = new Set<string>();

  constructor(registry: Registry) {
    this.#counter = new Counter({
      name: 'penstock_refused_total',
      help: 'First packets of connections that were refused or dropped, as far as the kernel told: at most 50 a second of a reason.',
      labelNames: ['namespace', 'service', 'port', 'reason'],
      registers: [registry],
    });
  }

  add({ service, port, reason }: Pick<FlowRecord, 'service' | 'port' | 'reason'>): void {
    const [, namespace = '', name = ''] = /^([^/]+)\/([^:]+)/.exec(service) ?? [];
    // Ports that no Service has are anybody's choice: a scan must not make a series of each.
    const of = {
      namespace,
      service: name,
      port: reason === 'unknown-port' || name === '' ? '' : String(port),
    };
    const key = `${reason} ${of.namespace} ${of.service} ${of.port}`;
    if (!this.#known.has(key) && this.#known.size >= MOST_SERIES) {
      this.#counter.inc({ ...OTHERS, reason });
      return;
    }
    this.#known.add(key);
    this.#counter.inc({ ...of, reason });
  }
}

/** Packets that were refused or dropped, by Service and reason: only of those that had any, and of so many at most. */
import { Counter, type Registry } from 'prom-client';
import type { FlowRecord } from '../flows/FlowLog.js';
import { ownerOf } from '../flows/ownerOf.js';

const MOST_SERIES = 500;
const OTHERS = { namespace: '', service: '(others)', port: '' };

interface Series {
  readonly labels: Record<'namespace' | 'service' | 'port' | 'reason', string>;
  /** Since somebody last read the metric: to count by labels is most of the work in a flood. */
  more: number;
}

export class RefusalMetrics {
  /** Of those that have one of their own. */
  readonly #series = new Map<string, Series>();
  /** Of all others, by reason. */
  readonly #others = new Map<string, Series>();

  constructor(registry: Registry) {
    const lists = [this.#series, this.#others];
    new Counter({
      name: 'penstock_refused_total',
      help: 'First packets of connections that were refused or dropped, as far as the kernel told: at most 50 a second of a reason.',
      labelNames: ['namespace', 'service', 'port', 'reason'],
      registers: [registry],
      collect() {
        for (const list of lists)
          for (const series of list.values()) {
            if (series.more > 0) this.inc(series.labels, series.more);
            series.more = 0;
          }
      },
    });
  }

  add({ service, port, reason }: Pick<FlowRecord, 'service' | 'port' | 'reason'>): void {
    const owner = ownerOf(service);
    // Ports that no Service has are anybody's choice: a scan must not make a series of each.
    const of = reason === 'unknown-port' || owner === undefined ? '' : String(port);
    const key = `${reason} ${owner?.namespace ?? ''} ${owner?.name ?? ''} ${of}`;
    const known = this.#series.get(key);
    if (known) known.more++;
    else if (this.#series.size < MOST_SERIES)
      this.#series.set(key, {
        labels: { namespace: owner?.namespace ?? '', service: owner?.name ?? '', port: of, reason },
        more: 1,
      });
    else this.#addOther(reason);
  }

  #addOther(reason: string): void {
    const known = this.#others.get(reason);
    if (known) known.more++;
    else this.#others.set(reason, { labels: { ...OTHERS, reason }, more: 1 });
  }
}

/** The table of `npm run bench -- userspace`: medians, and penstock's ratio to whom it is held against, round by round. */
import { median, table } from '../parts/statistics.js';
import { CONTENDERS, type Contender } from './userspaceProxies.js';
import { type Figures, OTHERS, OTHERS_WITH_LATENCY } from './userspaceRuns.js';

interface Goal {
  readonly metric: string;
  /** Whom the ratio is to; `none`: the figure itself is held against the limit. */
  readonly to: Contender | 'none';
  readonly least?: number;
  readonly most?: number;
}

const GOALS: readonly Goal[] = [
  { metric: 'new connections/s', to: 'haproxy', least: 1 },
  { metric: 'keep-alive requests/s', to: 'haproxy', least: 1 },
  { metric: 'bulk, 1 stream, MB/s', to: 'haproxy', least: 1.5 },
  { metric: 'bulk, 16 streams, MB/s', to: 'haproxy', least: 1.5 },
  { metric: 'request p99, µs', to: 'haproxy', most: 1 },
  { metric: 'connection p99, µs', to: 'haproxy', most: 1 },
  { metric: 'proxy CPU, µs a connection', to: 'haproxy', most: 1 },
  { metric: 'memory, bytes an idle connection', to: 'none', most: 4096 },
  { metric: 'UDP round trips/s', to: 'nginx', least: 2 },
  { metric: 'UDP one way/s, received', to: 'nginx', least: 2 },
  // Client and endpoints share the cores with the proxy: where they are the most of the cost, no proxy can double the
  // rate. Half the CPU is twice the datagrams on cores of its own.
  { metric: 'proxy CPU, µs a round trip', to: 'nginx', most: 0.5 },
  { metric: 'proxy CPU, µs a datagram', to: 'nginx', most: 0.5 },
];

const NO_RATIO: readonly string[] = [OTHERS, OTHERS_WITH_LATENCY];

/** What went wrong is shown only when something did, and as the sum of all rounds. */
const TROUBLE = /failed|broken|unfinished|lost/;

export class Samples {
  readonly #values = new Map<string, Map<Contender, number[]>>();

  add(proxy: Contender, figures: Figures): void {
    for (const [metric, value] of Object.entries(figures)) {
      const byProxy = this.#values.get(metric) ?? new Map<Contender, number[]>();
      const values = byProxy.get(proxy) ?? [];
      this.#values.set(metric, byProxy.set(proxy, values));
      values.push(value);
    }
  }

  /** In the order of rounds. */
  of(metric: string, proxy: Contender): readonly number[] {
    return this.#values.get(metric)?.get(proxy) ?? [];
  }

  report(proxies: readonly Contender[]): string {
    const shown = CONTENDERS.filter((proxy) => proxies.includes(proxy));
    const header = ['medians', ...shown, 'penstock’s ratio', 'least', 'most', 'to', 'wanted', ''];
    const rows = [...this.#values.keys()].flatMap((metric) => {
      const figures = shown.map((proxy) => this.#figure(metric, proxy));
      if (TROUBLE.test(metric) && !figures.some((figure) => figure > 0)) return [];
      return [[metric, ...figures, ...this.#verdict(metric)]];
    });
    return table(header, rows);
  }

  #figure(metric: string, proxy: Contender): number {
    const values = this.of(metric, proxy);
    if (values.length === 0) return Number.NaN;
    return TROUBLE.test(metric) ? values.reduce((sum, value) => sum + value, 0) : median(values);
  }

  #verdict(metric: string): readonly (string | number)[] {
    const goal = GOALS.find((one) => one.metric === metric);
    const to = goal?.to ?? 'haproxy';
    const own = this.of(metric, 'penstock');
    const wanted =
      goal?.least !== undefined ? `≥ ${goal.least}` : goal?.most !== undefined ? `≤ ${goal.most}` : '';
    const met = (value: number) =>
      value >= (goal?.least ?? -Infinity) && value <= (goal?.most ?? Infinity) ? 'yes' : 'NO';
    if (to === 'none') return ['', '', '', '', wanted, own.length > 0 ? met(median(own)) : ''];
    const reference = this.of(metric, to);
    const ratios = own
      .map((value, round) => value / (reference[round] ?? Number.NaN))
      .filter(Number.isFinite);
    if (ratios.length === 0 || TROUBLE.test(metric) || NO_RATIO.includes(metric))
      return ['', '', '', '', wanted, ''];
    const verdict = wanted === '' ? '' : met(median(ratios));
    return [median(ratios), Math.min(...ratios), Math.max(...ratios), to, wanted, verdict];
  }
}

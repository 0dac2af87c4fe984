/**
 * What a mode that carries the bytes itself has to tell of its connections, service ports and endpoints, as metrics.
 * Values are looked up when somebody asks.
 */
import {
  firstEndpoints,
  type LabelledEndpoint,
  LimitedSeries,
  type OfServicePort,
  seriesOf,
} from './LimitedSeries.js';
import { type Metric, metricPieces, metricText, type Series } from './metricText.js';
import { type TakesTurns, WorkTurns } from './WorkTurns.js';

export interface ProxyFigures {
  readonly active: number;
  readonly unknown: number;
  readonly descriptors: number;
  /** In a lasting order; looked up when somebody asks. */
  readonly servicePorts: Iterable<ProxiedServicePortFigures>;
}

interface ProxiedServicePortFigures extends OfServicePort {
  readonly connections: number;
  readonly active: number;
  readonly retries: number;
  readonly failed: number;
  readonly ejected: number;
  /** Looked up when somebody asks: there may be a hundred thousand. */
  readonly endpoints: Iterable<ProxiedEndpointFigures>;
}

interface ProxiedEndpointFigures {
  readonly target: string;
  readonly connections: number;
  readonly active: number;
  readonly refused: number;
  readonly timedOut: number;
  readonly bytesTo: number;
  readonly bytesFrom: number;
  readonly isEjected: boolean;
}

export interface ProxyMetricsOptions {
  /** How many service ports get series of their own. 0: there are no metrics of service ports. */
  readonly limit: number;
  /** How many endpoints of these get series, too. */
  readonly endpointLimit: number;
  /** Undefined when the mode has none. */
  readonly read: () => ProxyFigures | undefined;
}

const COUNTS = ['connections', 'retries', 'failed'] as const;
const LEVELS = ['active', 'ejected'] as const;
type ServicePortFigure = (typeof COUNTS | typeof LEVELS)[number];

const WHOLE: readonly [Metric, Exclude<keyof ProxyFigures, 'servicePorts'>][] = [
  [gauge('connections_active', 'TCP connections and UDP flows that are open.'), 'active'],
  [
    gauge('descriptors', 'File descriptors of connections, and of pipes that are kept for the next ones.'),
    'descriptors',
  ],
  [counter('unknown_connections_total', 'Connections to destinations that no service port has.'), 'unknown'],
];

const OF_SERVICE_PORT: readonly [Metric, ServicePortFigure][] = [
  [
    counter('service_port_connections_total', 'Connections, and UDP flows, that were accepted.'),
    'connections',
  ],
  [gauge('service_port_connections_active', 'Those that are open.'), 'active'],
  [counter('service_port_retries_total', 'Attempts to reach an endpoint after the first.'), 'retries'],
  [counter('service_port_failed_total', 'Connections that no endpoint took in the end.'), 'failed'],
  [
    gauge('service_port_endpoints_ejected', 'Endpoints without new connections because they failed.'),
    'ejected',
  ],
];

interface EndpointValue {
  readonly more?: Series['labels'];
  readonly value: (figures: ProxiedEndpointFigures) => number;
}

const OF_ENDPOINT: readonly [Metric, readonly EndpointValue[]][] = [
  [
    counter(
      'endpoint_connections_total',
      'Connections, and UDP flows, to an endpoint that were established.',
    ),
    [{ value: ({ connections }) => connections }],
  ],
  [
    gauge('endpoint_connections_active', 'Connections and attempts that are open.'),
    [{ value: ({ active }) => active }],
  ],
  [
    counter('endpoint_failures_total', 'Attempts that an endpoint refused, or did not answer in time.'),
    [
      { more: { reason: 'refused' }, value: ({ refused }) => refused },
      { more: { reason: 'timeout' }, value: ({ timedOut }) => timedOut },
    ],
  ],
  [
    counter('endpoint_bytes_total', 'Bytes to and from an endpoint.'),
    [
      { more: { direction: 'to' }, value: ({ bytesTo }) => bytesTo },
      { more: { direction: 'from' }, value: ({ bytesFrom }) => bytesFrom },
    ],
  ],
  [
    gauge('endpoint_ejected', '1 while an endpoint gets no new connections because it failed.'),
    [{ value: ({ isEjected }) => (isEjected ? 1 : 0) }],
  ],
];

export class ProxyMetrics {
  readonly #options: ProxyMetricsOptions;
  readonly #series: LimitedSeries<(typeof COUNTS)[number], (typeof LEVELS)[number]>;

  constructor(options: ProxyMetricsOptions) {
    this.#options = options;
    this.#series = new LimitedSeries(options.limit, COUNTS, LEVELS);
  }

  /** In Prometheus' text format; none when there is nothing to tell. Others have their turn in between. */
  async *pieces(turns: TakesTurns = new WorkTurns()): AsyncGenerator<string> {
    const figures = this.#options.read();
    if (figures === undefined) return;
    for (const [metric, of] of WHOLE) yield metricText(metric, [{ labels: {}, value: figures[of] }]);
    yield* this.#servicePortPieces(figures.servicePorts, turns);
  }

  async *#servicePortPieces(
    servicePorts: ProxyFigures['servicePorts'],
    turns: TakesTurns,
  ): AsyncGenerator<string> {
    const { limit, endpointLimit } = this.#options;
    if (limit === 0) return;
    const { named, others } = await this.#series.share(servicePorts, turns);
    for (const [metric, of] of OF_SERVICE_PORT)
      yield* metricPieces(metric, seriesOf(named, others, of), turns);
    if (endpointLimit === 0) return;
    const endpoints = await firstEndpoints(named, endpointLimit, turns);
    for (const [metric, values] of OF_ENDPOINT)
      yield* metricPieces(metric, endpointSeries(endpoints, values), turns);
  }
}

function* endpointSeries(
  endpoints: readonly LabelledEndpoint<ProxiedEndpointFigures>[],
  values: readonly EndpointValue[],
): Generator<Series> {
  for (const { labels, figures } of endpoints)
    for (const { more, value } of values) yield { labels: { ...labels, ...more }, value: value(figures) };
}

function counter(name: string, help: string): Metric {
  return { name: `penstock_proxy_${name}`, help, type: 'counter' };
}

function gauge(name: string, help: string): Metric {
  return { name: `penstock_proxy_${name}`, help, type: 'gauge' };
}

/** What the kernel counted for service ports, as metrics. Values are looked up when somebody asks. */
import { LimitedSeries, type OfServicePort, seriesOf } from './LimitedSeries.js';
import { metricPieces } from './metricText.js';
import { type TakesTurns, WorkTurns } from './WorkTurns.js';

/** What the kernel counted for a service port since it is there. */
export interface CountedServicePort extends OfServicePort {
  readonly connections: number;
  /** Of the first packets of the connections. */
  readonly bytes: number;
}

export interface ServiceMetricsOptions {
  /** How many service ports get series of their own. 0: there are no metrics of service ports. */
  readonly limit: number;
  /** All service ports in a lasting order; undefined when that is not known at present. */
  readonly read: () => Promise<readonly CountedServicePort[] | undefined>;
}

const CONNECTIONS = {
  name: 'penstock_service_port_connections_total',
  help: 'Connections to a service port that were begun on this node or came to it, refused ones included.',
  type: 'counter',
} as const;
const BYTES = {
  name: 'penstock_service_port_first_packet_bytes_total',
  help: 'Bytes of the first packets of these connections.',
  type: 'counter',
} as const;

export class ServiceMetrics {
  readonly #options: ServiceMetricsOptions;
  readonly #series: LimitedSeries<'connections' | 'bytes'>;

  constructor(options: ServiceMetricsOptions) {
    this.#options = options;
    this.#series = new LimitedSeries(options.limit, ['connections', 'bytes']);
  }

  /** In Prometheus' text format; none when there is nothing to tell. Others have their turn in between. Rejects as `read` does. */
  async *pieces(turns: TakesTurns = new WorkTurns()): AsyncGenerator<string> {
    if (this.#options.limit === 0) return;
    const counted = await this.#options.read();
    if (counted === undefined) return;
    const { named, others } = await this.#series.share(counted, turns);
    for (const [metric, value] of [[CONNECTIONS, 'connections'] as const, [BYTES, 'bytes'] as const])
      yield* metricPieces(metric, seriesOf(named, others, value), turns);
  }
}

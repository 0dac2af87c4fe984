/** What is known of first packets that are decided in user space, as metrics. Values are looked up when somebody asks. */
import { firstEndpoints, type OfServicePort } from './LimitedSeries.js';
import { type Metric, metricPieces, metricText } from './metricText.js';
import { WorkTurns } from './WorkTurns.js';

export interface ChoiceFigures {
  readonly queue: number;
  readonly status: ChoiceStatusFigures;
  /** In a lasting order. */
  readonly servicePorts: readonly ChosenServicePortFigures[];
}

interface ChoiceStatusFigures {
  readonly decided: number;
  readonly repeated: number;
  readonly forgotten: number;
  readonly strangers: number;
  readonly nanoseconds: number;
  readonly connections: number;
  readonly recounted: number;
  readonly timesOpen: number;
  readonly isWatched: number;
}

interface ChosenServicePortFigures extends OfServicePort {
  readonly endpoints: Iterable<ChosenEndpointFigures>;
}

interface ChosenEndpointFigures {
  readonly target: string;
  readonly active: number;
  readonly chosen: number;
  readonly refused: number;
  readonly silent: number;
  readonly isAway: boolean;
}

export interface ChoiceLimits {
  /** How many service ports get series of their own, and how many endpoints of these. */
  readonly limit: number;
  readonly endpointLimit: number;
}

const NANOSECONDS = 1e9;

const WHOLE: readonly [Metric, (status: ChoiceStatusFigures) => number][] = [
  [counter('decided_total', 'First packets that an endpoint was chosen for.'), ({ decided }) => decided],
  [
    counter('decision_seconds_total', 'Time that was spent in deciding.'),
    ({ nanoseconds }) => nanoseconds / NANOSECONDS,
  ],
  [
    counter('repeated_total', 'First packets of TCP that came again, as their endpoint was silent.'),
    ({ repeated }) => repeated,
  ],
  [
    counter('given_up_total', 'Connections to silent endpoints that were given up to be decided again.'),
    ({ forgotten }) => forgotten,
  ],
  [
    counter('unknown_total', 'Packets in the queue that no service port was found for.'),
    ({ strangers }) => strangers,
  ],
  [
    counter('let_pass_total', 'How often the watchdog let packets pass because nobody decided.'),
    ({ timesOpen }) => timesOpen,
  ],
  [counter('recounted_total', 'How often all connections were counted anew.'), ({ recounted }) => recounted],
  [gauge('connections_active', 'Connections and UDP flows that count.'), ({ connections }) => connections],
  [gauge('watchdog', '1 while the watchdog runs.'), ({ isWatched }) => isWatched],
];

const OF_ENDPOINT: readonly [Metric, (figures: ChosenEndpointFigures) => number][] = [
  [gauge('endpoint_connections_active', 'Connections and UDP flows of an endpoint.'), ({ active }) => active],
  [counter('endpoint_chosen_total', 'How often an endpoint was chosen.'), ({ chosen }) => chosen],
  [counter('endpoint_refused_total', 'Connections that an endpoint refused.'), ({ refused }) => refused],
  [counter('endpoint_silent_total', 'First packets that came again.'), ({ silent }) => silent],
  [
    gauge('endpoint_away', '1 while an endpoint is passed over because it did not answer.'),
    ({ isAway }) => (isAway ? 1 : 0),
  ],
];

/** In Prometheus' text format; none when nothing is decided. Others have their turn in between. */
export async function* choicePieces(
  figures: ChoiceFigures | undefined,
  { limit, endpointLimit }: ChoiceLimits,
): AsyncGenerator<string> {
  if (figures === undefined) return;
  for (const [metric, of] of WHOLE) yield metricText(metric, [{ labels: {}, value: of(figures.status) }]);
  if (limit === 0 || endpointLimit === 0) return;
  const turns = new WorkTurns();
  const endpoints = await firstEndpoints(figures.servicePorts.slice(0, limit), endpointLimit, turns);
  for (const [metric, of] of OF_ENDPOINT) {
    const series = endpoints.map(({ labels, figures }) => ({ labels, value: of(figures) }));
    yield* metricPieces(metric, series, turns);
  }
}

function counter(name: string, help: string): Metric {
  return { name: `penstock_choice_${name}`, help, type: 'counter' };
}

function gauge(name: string, help: string): Metric {
  return { name: `penstock_choice_${name}`, help, type: 'gauge' };
}

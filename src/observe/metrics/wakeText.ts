/** What is known of first packets that wait for somebody who serves, as metrics. */
import { type Metric, metricText } from './metricText.js';

export interface WakeFigures {
  /** Service ports that sleep. */
  readonly asleep: number;
  readonly status: WakeStatusFigures;
}

interface WakeStatusFigures {
  readonly waiting: number;
  readonly held: number;
  readonly released: number;
  readonly cured: number;
  readonly replaced: number;
  readonly timedOut: number;
  readonly crowded: number;
  readonly passed: number;
  readonly wakes: number;
  readonly wakeMs: number;
}

export interface AcceptFigures {
  readonly asleep: number;
  readonly accepted: number;
  readonly failed: number;
  readonly active: number;
}

const MILLISECONDS = 1000;

const WHOLE: readonly [Metric, (figures: WakeFigures) => number][] = [
  [gauge('asleep', 'Service ports without endpoints whose first packets wait.'), ({ asleep }) => asleep],
  [gauge('waiting_packets', 'First packets that wait.'), ({ status }) => status.waiting],
  [counter('held_total', 'Connections and UDP flows that ever waited.'), ({ status }) => status.held],
  [
    counter('released_total', 'Of these, those that went on to an endpoint.'),
    ({ status }) => status.released,
  ],
  [
    counter('timestamps_total', 'First packets of TCP whose timestamp was raised by the time they waited.'),
    ({ status }) => status.cured,
  ],
  [
    counter('replaced_total', 'Packets that a newer one of their flow took the place of.'),
    ({ status }) => status.replaced,
  ],
  [
    counter('timeouts_total', 'Connections and UDP flows that were given up as nobody served in time.'),
    ({ status }) => status.timedOut,
  ],
  [
    counter('crowded_total', 'Packets that were dropped because as many wait as may.'),
    ({ status }) => status.crowded,
  ],
  [counter('passed_total', 'Packets in the queue that nobody has to hold.'), ({ status }) => status.passed],
  [counter('wakes_total', 'Service ports that woke to a first packet.'), ({ status }) => status.wakes],
  [
    counter('seconds_total', 'Time from the first packet to an endpoint, of all wakes.'),
    ({ status }) => status.wakeMs / MILLISECONDS,
  ],
];

/** In Prometheus' text format; empty when no Service asks to be woken. */
export function wakeText(figures: WakeFigures | undefined): string {
  if (figures === undefined) return '';
  return WHOLE.map(([metric, of]) => metricText(metric, [{ labels: {}, value: of(figures) }])).join('');
}

const ACCEPTED: readonly [Metric, (figures: AcceptFigures) => number][] = [
  [
    gauge('accepting', 'Service ports without endpoints whose connections are accepted.'),
    ({ asleep }) => asleep,
  ],
  [
    counter('accepted_total', 'Connections that were accepted for a Service that slept.'),
    ({ accepted }) => accepted,
  ],
  [
    counter('accepted_in_vain_total', 'Of these, those that found no endpoint in time.'),
    ({ failed }) => failed,
  ],
  [gauge('accepted_active', 'Of these, those that wait or are passed on now.'), ({ active }) => active],
];

/** Likewise, of connections that the agent accepts itself. */
export function acceptText(figures: AcceptFigures | undefined): string {
  if (figures === undefined) return '';
  return ACCEPTED.map(([metric, of]) => metricText(metric, [{ labels: {}, value: of(figures) }])).join('');
}

function counter(name: string, help: string): Metric {
  return { name: `penstock_wake_${name}`, help, type: 'counter' };
}

function gauge(name: string, help: string): Metric {
  return { name: `penstock_wake_${name}`, help, type: 'gauge' };
}

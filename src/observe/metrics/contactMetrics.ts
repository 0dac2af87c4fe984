/** How the agent hears of the objects that it serves, as metrics and for /readyz. */
import { type Metric, metricText } from './metricText.js';

/** One kind of object that comes from the API server. Times are milliseconds until now. */
export interface ResourceContact {
  /** As in the API: `endpointslices`. */
  readonly resource: string;
  readonly complete: boolean;
  readonly connected: boolean;
  readonly forMs: number;
  readonly silentForMs: number | undefined;
  readonly reason: string | undefined;
  readonly relists: number;
  readonly watchesEnded: number;
  readonly watchesFailed: number;
}

const CONNECTED = {
  name: 'penstock_api_connected',
  help: '1 while the API server answers what it is asked for the resource.',
  type: 'gauge',
} as const;
const SILENT = {
  name: 'penstock_api_seconds_since_contact',
  help: 'Time since anything about the resource was heard from the API server.',
  type: 'gauge',
} as const;
const RELISTS = {
  name: 'penstock_api_relists_total',
  help: 'How often the whole resource was read again after the first time.',
  type: 'counter',
} as const;
const WATCHES = {
  name: 'penstock_api_watch_restarts_total',
  help: 'Watches that ended: by the server in its time, or because they failed.',
  type: 'counter',
} as const;

/** In Prometheus' text format; empty without an API server. */
export function contactMetrics(contacts: readonly ResourceContact[]): string {
  if (contacts.length === 0) return '';
  const each = (metric: Metric, value: (contact: ResourceContact) => number | undefined) =>
    metricText(
      metric,
      contacts.flatMap((contact) => {
        const known = value(contact);
        return known === undefined ? [] : [{ labels: { resource: contact.resource }, value: known }];
      }),
    );
  const watches = contacts.flatMap(({ resource, watchesEnded, watchesFailed }) => [
    { labels: { resource, cause: 'ended' }, value: watchesEnded },
    { labels: { resource, cause: 'failed' }, value: watchesFailed },
  ]);
  return (
    each(CONNECTED, ({ connected }) => (connected ? 1 : 0)) +
    each(SILENT, ({ silentForMs }) => silentForMs && silentForMs / 1000) +
    each(RELISTS, ({ relists }) => relists) +
    metricText(WATCHES, watches)
  );
}

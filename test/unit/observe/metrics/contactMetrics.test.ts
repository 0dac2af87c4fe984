import { readFileSync } from 'node:fs';
import t from 'tap';
import { contactMetrics } from '../../../../src/observe/metrics/contactMetrics.js';
import { fromRoot } from '../../../support/fromRoot.js';
import { parseMetrics } from '../parseMetrics.js';

const SERVICES = {
  resource: 'services',
  complete: true,
  connected: true,
  forMs: 500,
  silentForMs: 2500,
  reason: undefined,
  relists: 3,
  watchesEnded: 7,
  watchesFailed: 2,
};
const NODES = { ...SERVICES, resource: 'nodes', connected: false, silentForMs: undefined };

t.test('each resource has its series', async (t) => {
  const series = parseMetrics(contactMetrics([SERVICES, NODES]));
  const value = (name: string, labels: object) =>
    series.find((s) => s.name === name && JSON.stringify(s.labels) === JSON.stringify(labels))?.value;
  t.equal(value('penstock_api_connected', { resource: 'services' }), 1);
  t.equal(value('penstock_api_connected', { resource: 'nodes' }), 0);
  t.equal(value('penstock_api_seconds_since_contact', { resource: 'services' }), 2.5);
  t.equal(value('penstock_api_seconds_since_contact', { resource: 'nodes' }), undefined, 'never yet');
  t.equal(value('penstock_api_relists_total', { resource: 'services' }), 3);
  t.equal(value('penstock_api_watch_restarts_total', { resource: 'services', cause: 'ended' }), 7);
  t.equal(value('penstock_api_watch_restarts_total', { resource: 'services', cause: 'failed' }), 2);
  t.equal(contactMetrics([]), '', 'no API server');
});

t.test('docs/metrics.md speaks of all of them, and of no others', async (t) => {
  const docs = readFileSync(fromRoot('docs/metrics.md'), 'utf8');
  const documented = [...docs.matchAll(/^\| `(penstock_api_\w+)` \| (\w+) \|/gm)];
  const types = [...contactMetrics([SERVICES]).matchAll(/^# TYPE (\w+) (\w+)$/gm)];
  const pairs = (matches: readonly RegExpMatchArray[]) => matches.map(([, name, type]) => `${name} ${type}`);
  t.strictSame(pairs(documented), pairs(types));
});

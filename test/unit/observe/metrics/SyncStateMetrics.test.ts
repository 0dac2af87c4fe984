import { readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import t from 'tap';
import { type FailingMode, SyncStateMetrics } from '../../../../src/observe/metrics/SyncStateMetrics.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { fromRoot } from '../../../support/fromRoot.js';
import { needsShared, readShared } from '../../../support/shared.js';
import { parseMetrics, seriesValue } from '../parseMetrics.js';

const policy = (internalPolicy: string, externalPolicy: string, any: boolean, local: number) =>
  ({
    internalPolicy,
    externalPolicy,
    endpoints: { any, local: Array.from({ length: local }, () => ({})) },
  }) as unknown as ServicePort;
const PORTS = [
  policy('Local', 'Cluster', true, 0),
  policy('Local', 'Local', true, 0),
  policy('Cluster', 'Local', true, 1),
  policy('Local', 'Local', false, 0),
  policy('Cluster', 'Cluster', true, 0),
];

function fresh(mode: FailingMode = 'nftables') {
  const registry = new Registry();
  const metrics = new SyncStateMetrics(registry, mode, (family) => (family === 'IPv4' ? PORTS : []));
  return { metrics, read: async () => parseMetrics(await registry.metrics()) };
}

t.test('what waits, until a sync takes it', async (t) => {
  const { metrics, read } = fresh();
  metrics.arrived('Service');
  metrics.arrived('EndpointSlice');
  metrics.arrived('EndpointSlice');
  metrics.queued(1_500);
  const waiting = await read();
  t.equal(seriesValue(waiting, 'kubeproxy_sync_proxy_rules_service_changes_pending'), 1);
  t.equal(seriesValue(waiting, 'kubeproxy_sync_proxy_rules_endpoint_changes_pending'), 2);
  const queued = 'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds';
  t.equal(seriesValue(waiting, queued, { ip_family: 'IPv6' }), 1.5);
  metrics.taken();
  t.equal(seriesValue(await read(), 'kubeproxy_sync_proxy_rules_endpoint_changes_pending'), 0);
});

t.test('service ports without endpoints here', async (t) => {
  const page = await fresh().read();
  const of = (traffic_policy: string, ip_family: string) =>
    seriesValue(page, 'kubeproxy_sync_proxy_rules_no_local_endpoints_total', { traffic_policy, ip_family });
  t.strictSame([of('internal', 'IPv4'), of('external', 'IPv4'), of('internal', 'IPv6')], [2, 1, 0]);
});

t.test('failures have the name of the mode', async (t) => {
  for (const [mode, name] of [
    ['nftables', 'kubeproxy_sync_proxy_rules_nftables_sync_failures_total'],
    ['ipvs', 'kubeproxy_sync_proxy_rules_iptables_restore_failures_total'],
  ] as const) {
    const { metrics, read } = fresh(mode);
    metrics.failed('IPv6');
    const page = await read();
    t.equal(seriesValue(page, name, { ip_family: 'IPv6' }), 1, mode);
    t.equal(seriesValue(page, name, { ip_family: 'IPv4' }), 0, mode);
  }
});

t.test('every metric that kube-proxy has in mode nftables is documented here', needsShared, async (t) => {
  const page = readShared('stock/golden/nftables/metrics.http');
  const theirs = [...page.matchAll(/^# TYPE (kubeproxy_\w+) /gm)].map(([, name]) => name ?? '');
  t.ok(theirs.length > 10);
  const docs = readFileSync(fromRoot('docs/metrics.md'), 'utf8');
  for (const name of theirs) t.ok(docs.includes(`\`${name}\``), name);
});

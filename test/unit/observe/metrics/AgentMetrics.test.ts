import { readFileSync } from 'node:fs';
import t from 'tap';
import { AgentMetrics } from '../../../../src/observe/metrics/AgentMetrics.js';
import { type ChoiceFigures, choicePieces } from '../../../../src/observe/metrics/ChoiceMetrics.js';
import { rulePacketText } from '../../../../src/observe/metrics/RulePacketMetrics.js';
import type { ChangeSet, ServicePortChange } from '../../../../src/routing/ChangeSet.js';
import { node, remove, service, slice, upsert } from '../../../support/builders.js';
import { fromRoot } from '../../../support/fromRoot.js';
import { type ParsedSeries, parseMetrics, seriesValue, textOf } from '../parseMetrics.js';

const START = Date.UTC(2026, 0, 1);
const SYNC = 'kubeproxy_sync_proxy_rules_duration_seconds';
const FULL = 'kubeproxy_sync_full_proxy_rules_duration_seconds';
const PARTIAL = 'kubeproxy_sync_partial_proxy_rules_duration_seconds';
const PROGRAMMING = 'kubeproxy_network_programming_duration_seconds';
const IPV4 = { ip_family: 'IPv4' };

const ENDPOINT = { active: 2, chosen: 7, refused: 1, silent: 3, isAway: true };
const CHOICE: ChoiceFigures = {
  queue: 0,
  status: {
    decided: 7,
    repeated: 3,
    forgotten: 1,
    strangers: 0,
    nanoseconds: 5e8,
    connections: 2,
    recounted: 1,
    timesOpen: 0,
    isWatched: 1,
  },
  servicePorts: ['a', 'b'].map((name) => ({
    servicePort: {
      key: name,
      family: 'IPv4',
      namespace: 'shop',
      service: name,
      port: 80,
      protocol: 'TCP',
    },
    endpoints: [
      { target: '10.1.0.1:8080', ...ENDPOINT },
      { target: '10.1.0.2:8080', ...ENDPOINT },
    ],
  })),
};

let now = START;
const fresh = () => {
  now = START;
  return new AgentMetrics(() => now);
};
const read = async (metrics: AgentMetrics): Promise<ParsedSeries[]> => parseMetrics(await metrics.text());

function changes(families: readonly ('IPv4' | 'IPv6')[], ...triggerTimes: readonly number[]): ChangeSet {
  const change: ServicePortChange = { key: 'a/b', before: undefined, after: undefined };
  const of = (family: 'IPv4' | 'IPv6') => (families.includes(family) ? [change] : []);
  return { families: { IPv4: of('IPv4'), IPv6: of('IPv6') }, triggerTimes };
}

t.test('syncs by family and kind', async (t) => {
  const metrics = fresh();
  now += 5000;
  metrics.synced([
    { family: 'IPv4', kind: 'full', totalMs: 500 },
    { family: 'IPv6', kind: 'none', totalMs: 1 },
  ]);
  metrics.synced([{ family: 'IPv4', kind: 'partial', totalMs: 3 }]);
  const page = await read(metrics);
  t.equal(seriesValue(page, `${SYNC}_count`, IPV4), 2);
  t.equal(seriesValue(page, `${SYNC}_sum`, IPV4), 0.503);
  t.equal(seriesValue(page, `${SYNC}_count`, { ip_family: 'IPv6' }), 1);
  t.equal(seriesValue(page, `${FULL}_sum`, IPV4), 0.5);
  t.equal(seriesValue(page, `${PARTIAL}_sum`, IPV4), 0.003);
  t.equal(seriesValue(page, `${FULL}_count`, { ip_family: 'IPv6' }), undefined);
  t.equal(seriesValue(page, `${SYNC}_bucket`, { ...IPV4, le: '0.004' }), 1);
  t.equal(
    seriesValue(page, 'kubeproxy_sync_proxy_rules_last_timestamp_seconds', IPV4),
    START / 1000 + 5,
    'seconds since the epoch',
  );
});

t.test('buckets are those of kube-proxy', async (t) => {
  const metrics = fresh();
  metrics.taken(changes(['IPv4'], START + 1));
  metrics.synced([{ family: 'IPv4', kind: 'full', totalMs: 1 }]);
  const page = await read(metrics);
  const buckets = (name: string) =>
    page.filter((each) => each.name === `${name}_bucket`).map(({ labels }) => labels.le);
  const syncs = Array.from({ length: 15 }, (_, i) => String(2 ** i / 1000));
  t.strictSame(buckets(SYNC), [...syncs, '+Inf']);
  const programming = buckets(PROGRAMMING);
  t.equal(programming.length, 2 + 59 + 12 + 7 + 1);
  t.strictSame(programming.slice(0, 4), ['0.25', '0.5', '1', '2']);
  t.strictSame(programming.slice(59, 64), ['58', '59', '60', '65', '70']);
  t.strictSame(programming.slice(-9), ['115', '120', '150', '180', '210', '240', '270', '300', '+Inf']);
});

t.test('time until a change is in force', async (t) => {
  const metrics = fresh();
  const programming = async (what: 'sum' | 'count', family = 'IPv4') =>
    seriesValue(await read(metrics), `${PROGRAMMING}_${what}`, { ip_family: family });
  metrics.taken(changes(['IPv4'], START - 1000, START));
  metrics.synced([{ family: 'IPv4', kind: 'full', totalMs: 1 }]);
  t.equal(await programming('count'), undefined, 'what had happened before the start does not count');

  metrics.taken(changes(['IPv4'], START + 1000));
  now = START + 2000;
  metrics.taken(changes(['IPv4', 'IPv6'], START + 1500));
  now = START + 3000;
  metrics.synced([{ family: 'IPv4', kind: 'partial', totalMs: 1 }]);
  t.equal(await programming('count'), 2, 'a failed sync between did not lose the first');
  t.equal(await programming('sum'), 3.5);
  t.equal(await programming('count', 'IPv6'), undefined, 'IPv6 still waits');
  metrics.synced([{ family: 'IPv4', kind: 'none', totalMs: 1 }]);
  t.equal(await programming('count'), 2, 'each change counts once');
  metrics.synced([{ family: 'IPv6', kind: 'partial', totalMs: 1 }]);
  t.equal(await programming('sum', 'IPv6'), 1.5);
});

t.test('a sync that failed counts, with its time', async (t) => {
  const metrics = fresh();
  metrics.follow('nftables', () => []);
  metrics.syncFailed('IPv6', 250);
  const page = await read(metrics);
  const labels = { ip_family: 'IPv6' };
  t.equal(seriesValue(page, `${SYNC}_sum`, labels), 0.25);
  t.equal(seriesValue(page, 'kubeproxy_sync_proxy_rules_nftables_sync_failures_total', labels), 1);
  t.equal(seriesValue(page, `${FULL}_count`, labels), undefined);
});

t.test('plain counters', async (t) => {
  const metrics = fresh();
  metrics.objectsChanged([upsert(service()), upsert(slice([])), remove(slice([])), upsert(node())]);
  metrics.repairing();
  metrics.connectionsCleaned('IPv4', 0, 1);
  metrics.connectionsCleaned('IPv4', 5, 2);
  const page = await read(metrics);
  t.equal(seriesValue(page, 'kubeproxy_sync_proxy_rules_service_changes_total'), 1);
  t.equal(seriesValue(page, 'kubeproxy_sync_proxy_rules_endpoint_changes_total'), 2);
  t.equal(seriesValue(page, 'penstock_repairs_total'), 1);
  t.equal(seriesValue(page, 'kubeproxy_conntrack_reconciler_deleted_entries_total', IPV4), 5);
});

t.test('first packets that were decided, as many endpoints as are allowed', async (t) => {
  const pageOf = async (limit: number, endpointLimit: number) =>
    parseMetrics(await textOf(choicePieces(CHOICE, { limit, endpointLimit })));
  const chosen = (page: readonly ParsedSeries[]) =>
    page.filter(({ name }) => name === 'penstock_choice_endpoint_chosen_total').length;
  const page = await pageOf(2, 3);
  t.equal(seriesValue(page, 'penstock_choice_decided_total'), 7);
  t.equal(seriesValue(page, 'penstock_choice_decision_seconds_total'), 0.5);
  t.equal(chosen(page), 3);
  t.equal(chosen(await pageOf(1, 100)), 2);
  t.equal(chosen(await pageOf(1, 0)), 0, 'no series of endpoints unless they are asked for');
  t.equal(await textOf(choicePieces(undefined, { limit: 1, endpointLimit: 1 })), '', 'nobody asks for it');
});

t.test('the page has the metrics of the process, and docs/metrics.md speaks of all of ours', async (t) => {
  const pages: string[] = [];
  for (const mode of ['iptables', 'ipvs', 'nftables'] as const) {
    const metrics = fresh();
    metrics.follow(mode, () => []);
    t.match(metrics.contentType, /^text\/plain; version=0\.0\.4/);
    pages.push(await metrics.text());
  }
  const rules = rulePacketText({ invalidDropped: 0, localhostNodePortsAccepted: 0 });
  const page = pages.join('') + rules + (await textOf(choicePieces(CHOICE, { limit: 1, endpointLimit: 1 })));
  t.match(page, /^process_resident_memory_bytes \d+$/m);
  const docs = readFileSync(fromRoot('docs/metrics.md'), 'utf8');
  // Those of the proxy: ProxyMetrics.test.ts; of the API server: contactMetrics.test.ts; of the load balancer:
  // balancerMetrics.test.ts; what operators alert on: operatorMetrics.test.ts; of wake on connect: wakeText.test.ts.
  const documented = new Set(
    [
      ...docs.matchAll(/`(kubeproxy_\w+)`/g),
      ...docs.matchAll(
        /`(penstock_(?!proxy_|api_|lb_|bgp_|bfd_|wake_|conntrack_entries|conntrack_limit|mode_info|problems|service_ports)\w+)`/g,
      ),
    ].map(([, name]) => name),
  );
  const present = [...page.matchAll(/^# TYPE ((?:kubeproxy|penstock)_\w+)/gm)].map(([, name]) => name);
  const ofService = [
    'penstock_service_port_connections_total',
    'penstock_service_port_first_packet_bytes_total',
  ];
  t.strictSame([...new Set([...present, ...ofService])].sort(), [...documented].sort());
});

t.test('the times of a million changes are no burden', async (t) => {
  const metrics = fresh();
  const times = Array.from({ length: 1_000_000 }, (_, i) => START + 1 + i);
  metrics.taken({ ...changes(['IPv4']), triggerTimes: times });
  metrics.taken({ ...changes(['IPv4']), triggerTimes: times });
  metrics.synced([{ family: 'IPv4', kind: 'full', totalMs: 1 }]);
  t.equal(seriesValue(await read(metrics), `${PROGRAMMING}_count`, IPV4), 10_000);
});

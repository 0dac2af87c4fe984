/**
 * /metrics against that of stock kube-proxy 1.36.2, mode by mode: every metric that was recorded is there with its type,
 * labels and buckets, or is named here with the reason why not. And what is ours is listed.
 */

import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { Dataplane } from '../../../src/dataplane/Dataplane.js';
import { UNHEARD } from '../../../src/dataplane/Dataplane.js';
import { IptablesDataplane } from '../../../src/dataplane/iptables/IptablesDataplane.js';
import type { Sysctls } from '../../../src/kernel/sysctl/Sysctls.js';
import { type AgentWorld, NotingDataplane, runningAgent } from '../../support/agentWorld.js';
import { ip } from '../../support/builders.js';
import { FakeXtables } from '../../support/FakeXtables.js';
import { fromRoot } from '../../support/fromRoot.js';
import { GOLDEN_OPTIONS, goldenObjects, upserts } from '../../support/goldenTable.js';
import { eventually } from '../../support/iptables.js';
import { type Answer, ask, recordedAnswer } from '../../support/recordedAnswer.js';
import { needsShared } from '../../support/shared.js';
import { type ParsedSeries, parseMetrics, seriesValue } from './parseMetrics.js';

const HERE = ip('127.0.76.1');

/** Names, or beginnings of names, of metrics that stock has and we have not → why. docs/metrics.md says it too. */
const NOT_OURS: Readonly<Record<string, string>> = {
  go_: "of Go's runtime; nodejs_* are those of ours",
  aggregator_discovery_: 'of API servers: a library that kube-proxy links in',
  apiserver_: 'of API servers: a library that kube-proxy links in',
  cardinality_enforcement_unexpected_categorizations_total: "of Kubernetes' registry of metrics",
  disabled_metrics_total: "of Kubernetes' registry of metrics",
  hidden_metrics_total: "of Kubernetes' registry of metrics",
  registered_metrics_total: "of Kubernetes' registry of metrics",
  rest_client_rate_limiter_duration_seconds: 'requests do not wait for a limiter in the client',
  rest_client_exec_plugin_certificate_rotation_age: "of client-go's keeping of certificates of plugins",
  rest_client_exec_plugin_ttl_seconds: "of client-go's keeping of certificates of plugins",
  rest_client_transport_: "of client-go's cache of connections",
};
/** Labels of kubernetes_build_info that describe a build by Go. */
const NOT_OUR_LABELS = new Set(['build_date', 'git_commit', 'git_tree_state', 'go_version']);
/** What only our page has. */
const OURS = /^(nodejs_|penstock_|process_(cpu_(user|system)_seconds_total|heap_bytes)$)/;
/** kube-proxy has them too; nothing had happened yet when it was recorded. */
const NOT_RECORDED = [
  'kubeproxy_network_programming_duration_seconds',
  'kubeproxy_sync_partial_proxy_rules_duration_seconds',
  'kubeproxy_sync_full_proxy_rules_duration_seconds',
  'kubeproxy_sync_proxy_rules_iptables_restore_failures_total',
  'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total',
  'kubeproxy_sync_proxy_rules_nftables_sync_failures_total',
  'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total',
];

interface Metric {
  readonly type: string;
  readonly labels: ReadonlySet<string>;
  /** Upper bounds of a histogram. */
  readonly buckets: ReadonlySet<number>;
}

function metricsOf(page: string): Map<string, Metric> {
  const metrics = new Map<string, Metric & { labels: Set<string>; buckets: Set<number> }>();
  for (const [, name = '', type = ''] of page.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    metrics.set(name, { type, labels: new Set(), buckets: new Set() });
  }
  for (const { name, labels } of parseMetrics(page)) {
    const metric = metrics.get(name) ?? metrics.get(name.replace(/_(bucket|sum|count)$/, ''));
    if (metric === undefined) throw new Error(`${name} has no type`);
    for (const [label, value] of Object.entries(labels)) {
      if (label === 'le') metric.buckets.add(value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value));
      else metric.labels.add(label);
    }
  }
  return metrics;
}

const reasonOf = (name: string) => Object.keys(NOT_OURS).find((beginning) => name.startsWith(beginning));

/** Mode iptables on tools that only pretend. */
async function fakeIptables(): Promise<Dataplane> {
  const fakes = [new FakeXtables({ family: 'IPv4' }), new FakeXtables({ family: 'IPv6' })];
  const sysctls = { read: () => '0', ensure: () => {} } as unknown as Sysctls;
  return new IptablesDataplane(
    GOLDEN_OPTIONS,
    {
      tools: await Promise.all(fakes.map((fake) => fake.open())),
      sysctls,
      createCounters: async () => true,
      readCounters: async () =>
        new Map([
          ['ct_state_invalid_dropped_pkts', 3],
          ['localhost_nps_accepted_pkts', 5],
        ]),
      watch: { state: async () => '0', isOurs: () => true },
      close: async () => {},
      addresses: () => [],
    },
    UNHEARD,
  );
}

/** The agent with the objects of the recording, synced, and asked for its health once. */
async function recordedState(t: Test, mode: string): Promise<AgentWorld> {
  const dataplane = mode === 'iptables' ? await fakeIptables() : new NotingDataplane();
  const world = await runningAgent(t, {
    text:
      `mode: ${mode}\nhealthzBindAddress: ${HERE}:10256\nmetricsBindAddress: ${HERE}:10249\n` +
      `nodePortAddresses: [${HERE}/32, ::1/128]\n`,
    hostAddresses: () => [HERE],
    dataplane,
  });
  const { metrics, tell } = world;
  metrics.build('1.2.3');
  metrics.features({ SomeGate: true });
  metrics.connectionsCleaned('IPv4', 0, 1);
  metrics.requests.answered('POST', '10.200.0.1:6443', 201);
  const exchange = { milliseconds: 31, sentBytes: 204, receivedBytes: 448 };
  metrics.requests.completed({ method: 'POST', host: '10.200.0.1:6443', ...exchange });
  tell().changes(upserts(goldenObjects()));
  tell().complete();
  const url = `http://${HERE}:10256`;
  t.ok(await eventually(async () => (await ask(`${url}/readyz`)).status === 200), 'synced');
  await ask(`${url}/healthz`);
  await ask(`${url}/livez`);
  return world;
}

const valueIn = (page: readonly ParsedSeries[], name: string, labels: Record<string, string>) =>
  seriesValue(page, `kubeproxy_${name}`, labels);

for (const mode of ['iptables', 'nftables', 'ipvs']) {
  t.test(`mode ${mode}`, needsShared, async (t) => {
    const { agent } = await recordedState(t, mode);
    const ours = await ask(`http://${HERE}:10249/metrics`);
    const stock = recordedAnswer(`${mode}/metrics`) as Answer;
    t.equal(ours.headers.get('content-type'), stock.headers.get('content-type'));
    t.match(ours.headers.get('process-start-time-unix'), /^\d{10}$/, 'as stock');
    t.ok(stock.headers.has('process-start-time-unix'));

    const [mine, theirs] = [metricsOf(ours.body), metricsOf(stock.body)];
    t.ok(theirs.size > 50);
    const missing = [...theirs.keys()].filter((name) => !mine.has(name) && reasonOf(name) === undefined);
    t.strictSame(missing, [], 'nothing is missing without a reason');
    t.strictSame(
      [...mine.keys()].filter((name) => reasonOf(name) !== undefined),
      [],
      'no reason is outdated',
    );
    for (const [name, metric] of theirs) {
      const own = mine.get(name);
      if (own === undefined) continue;
      t.equal(own.type, metric.type, `${name}: type`);
      const labels = [...metric.labels].filter(
        (label) => !own.labels.has(label) && !NOT_OUR_LABELS.has(label),
      );
      t.strictSame(labels, [], `${name}: labels`);
      if (own.buckets.size > 0) t.strictSame([...own.buckets], [...metric.buckets], `${name}: buckets`);
    }
    const added = [...mine.keys()].filter(
      (name) => !theirs.has(name) && !OURS.test(name) && !NOT_RECORDED.includes(name),
    );
    t.strictSame(added, [], 'ours are listed');

    // What the same objects lead to.
    const [page, recorded] = [parseMetrics(ours.body), parseMetrics(stock.body)];
    for (const ip_family of ['IPv4', 'IPv6']) {
      for (const traffic_policy of ['internal', 'external']) {
        const name = 'sync_proxy_rules_no_local_endpoints_total';
        const labels = { ip_family, traffic_policy };
        t.equal(
          valueIn(page, name, labels),
          valueIn(recorded, name, labels),
          `${ip_family} ${traffic_policy}`,
        );
      }
      if (mode !== 'iptables') continue;
      for (const name of ['sync_proxy_rules_iptables_total', 'sync_proxy_rules_iptables_last']) {
        for (const table of ['filter', 'nat']) {
          // The recording has one rule more: the API server's own Service, which has no endpoints.
          const apiserver = ip_family === 'IPv4' && table === 'filter' ? 1 : 0;
          const expected = (valueIn(recorded, name, { ip_family, table }) ?? 0) - apiserver;
          t.equal(valueIn(page, name, { ip_family, table }), expected, `${name} ${ip_family} ${table}`);
        }
      }
    }
    if (mode === 'iptables') {
      t.equal(valueIn(page, 'iptables_ct_state_invalid_dropped_packets_total', {}), 3);
      t.equal(valueIn(page, 'iptables_localhost_nodeports_accepted_packets_total', {}), 5);
    }
    await agent.stop();
  });
}

t.test('docs/metrics.md names what is not there', async (t) => {
  const docs = readFileSync(fromRoot('docs/metrics.md'), 'utf8');
  for (const name of Object.keys(NOT_OURS)) {
    t.ok(docs.includes(name.endsWith('_') ? `\`${name}*\`` : `\`${name}\``), name);
  }
});

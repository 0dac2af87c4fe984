/** Alerts and board: the same everywhere, on metrics that penstock has, and the alerts fire when and only when they should. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { fromRoot } from '../../support/fromRoot.js';

const text = (path: string) => readFileSync(fromRoot(path), 'utf8');

t.test('PrometheusRule and chart have the rules and the board as they are', async (t) => {
  const rules: unknown = parse(text('deploy/monitoring/rules.yaml'));
  const { kind, spec } = parse(text('deploy/monitoring/prometheus-rule.yaml')) as {
    kind: string;
    spec: unknown;
  };
  t.equal(kind, 'PrometheusRule');
  t.strictSame(spec, rules);
  for (const name of ['rules.yaml', 'grafana-board.json'])
    t.equal(text(`deploy/chart/files/${name}`), text(`deploy/monitoring/${name}`), name);
});

t.test('alerts and panels ask for metrics that penstock has', async (t) => {
  const documented = text('docs/metrics.md');
  const { panels } = JSON.parse(text('deploy/monitoring/grafana-board.json')) as {
    panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
  };
  const { groups } = parse(text('deploy/monitoring/rules.yaml')) as {
    groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
  };
  const asked = [
    ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ by: title, expr }))),
    ...groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => ({ by: alert, expr }))),
  ];
  t.ok(asked.length > 25);
  for (const { by, expr } of asked) {
    const names = expr.match(/\b(?:penstock|kubeproxy|rest_client|process|nodejs)_[a-z0-9_]+/g) ?? [];
    if (!expr.includes('up{')) t.not(names.length, 0, by);
    for (const name of names) {
      const family = name.replace(/_(?:bucket|count|sum)$/, '');
      t.ok(isOfProcess(family) || documented.includes(`\`${family}\``), `${by}: ${family}`);
    }
    t.match(expr, /job="(?:kube-proxy|\$job)"/, `${by} selects the job`);
  }
});

/** prom-client's own. */
function isOfProcess(name: string): boolean {
  return [
    'process_resident_memory_bytes',
    'process_cpu_seconds_total',
    'nodejs_eventloop_lag_p99_seconds',
  ].includes(name);
}

const promtool = spawnSync('promtool', ['--version']);
const skip =
  promtool.status === 0 ? false : 'there is no promtool; scripts/setup installs Debian package prometheus';

t.test(
  'promtool: the rules are well-formed, fire when they should, and keep quiet otherwise',
  { skip },
  async (t) => {
    for (const words of [
      ['check', 'rules', 'deploy/monitoring/rules.yaml'],
      ['test', 'rules', 'deploy/monitoring/rules.test.yaml'],
    ]) {
      const { status, stdout, stderr } = spawnSync('promtool', words, {
        cwd: fromRoot('.'),
        encoding: 'utf8',
      });
      t.equal(status, 0, `${words.join(' ')}\n${stdout}${stderr}`);
    }
  },
);

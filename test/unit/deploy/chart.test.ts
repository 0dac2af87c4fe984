/** deploy/chart: the same version as the program, the same rights and the same pod as deploy/base. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';
import { fromRoot } from '../../support/fromRoot.js';

const text = (path: string) => readFileSync(fromRoot(path), 'utf8');
const chart = parse(text('deploy/chart/Chart.yaml')) as Record<string, string>;
const values = parse(text('deploy/chart/values.yaml')) as Record<string, unknown>;
const schema = JSON.parse(text('deploy/chart/values.schema.json')) as { properties: Record<string, unknown> };
const { version } = JSON.parse(text('package.json')) as { version: string };

t.test('the version is that of package.json, everywhere', async (t) => {
  t.equal(chart.version, version);
  t.equal(chart.appVersion, version);
  for (const folder of ['base', 'cleanup']) {
    t.match(text(`deploy/${folder}/kustomization.yaml`), `newTag: ${version}`, folder);
  }
});

t.test('the schema knows every value, and no other', async (t) => {
  const known = Object.keys(schema.properties).filter((name) => name !== 'global');
  t.strictSame(known.sort(), Object.keys(values).sort());
});

t.test('every value is used by a template, and every template uses values that are there', async (t) => {
  const files = [
    '_helpers.tpl',
    'config-map.yaml',
    'daemon-set.yaml',
    'monitoring.yaml',
    'pod-monitor.yaml',
    'rbac.yaml',
    'NOTES.txt',
  ];
  const templates = files.map((name) => text(`deploy/chart/templates/${name}`)).join('\n');
  const used = new Set([...templates.matchAll(/\.Values\.(\w+)/g)].map(([, name]) => name));
  t.strictSame([...used].sort(), Object.keys(values).sort());
});

t.test('the rights are those of deploy/base', async (t) => {
  const rulesOf = (source: string) =>
    parseAllDocuments(source)
      .map((document) => document.toJS() as { kind: string; rules?: unknown })
      .find(({ kind }) => kind === 'ClusterRole')?.rules;
  const template = text('deploy/chart/templates/rbac.yaml')
    .replaceAll(/^.*\{\{-.*\n/gm, '')
    .replaceAll(/\{\{.*?\}\}/g, 'x');
  t.ok(rulesOf(template));
  t.strictSame(rulesOf(template), rulesOf(text('deploy/base/rbac.yaml')));
});

t.test('with penstock.wake.share the agents may do what deploy/scaler lets them', async (t) => {
  const rulesOf = (source: string, name: string) =>
    parseAllDocuments(source)
      .map((each) => each.toJS() as { kind: string; metadata: { name: string }; rules?: unknown })
      .find(({ kind, metadata }) => kind === 'Role' && metadata.name === name)?.rules;
  const template = text('deploy/chart/templates/rbac.yaml');
  const [, part = ''] =
    /\{\{- if dig "penstock" "wake" "share".*\n([\s\S]*?)\{\{- end \}\}/.exec(template) ?? [];
  const plain = part.replaceAll(/^.*\{\{-.*\n/gm, '').replaceAll(/\{\{.*?\}\}/g, 'penstock');
  const own = rulesOf(plain, 'penstock-wake-leases');
  t.ok(own);
  t.strictSame(own, rulesOf(text('deploy/scaler/rbac.yaml'), 'penstock-wake-share'));
});

t.test('the pod is that of deploy/base, line by line, but for what values change', async (t) => {
  const lines = (source: string) =>
    source
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('{{'));
  const inChart = new Set(lines(text('deploy/chart/templates/daemon-set.yaml')));
  const missing = lines(text('deploy/base/daemon-set.yaml')).filter((line) => !inChart.has(line));
  t.strictSame(missing, [
    'name: penstock',
    'app: penstock',
    'maxUnavailable: 10%',
    'app: penstock',
    'serviceAccountName: penstock',
    'terminationGracePeriodSeconds: 10',
    'kubernetes.io/os: linux',
    '- operator: Exists',
    'image: penstock',
    'args: [run, --config, /etc/penstock/config.yaml, --hostname-override, $(NODE_NAME), --init-only]',
    'requests:',
    'cpu: 50m',
    'memory: 128Mi',
    'image: penstock',
    'args: [run, --config, /etc/penstock/config.yaml, --hostname-override, $(NODE_NAME)]',
    'add: [NET_ADMIN]',
    'type: RuntimeDefault',
    'port: health',
    'port: health',
    'name: penstock',
  ]);
});

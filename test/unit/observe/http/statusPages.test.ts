import type { AddressInfo } from 'node:net';
import t from 'tap';
import { effectiveConfiguration } from '../../../../src/config/file/effectiveConfiguration.js';
import { startMetricsServer } from '../../../../src/observe/http/MetricsServer.js';
import { statusPages } from '../../../../src/observe/http/statusPages.js';
import { ip } from '../../../support/builders.js';
import { type Answer, ask, recordedAnswer } from '../../../support/recordedAnswer.js';
import { needsShared, readShared } from '../../../support/shared.js';
import { runArguments } from '../../config/runCommand.js';

const START = Date.UTC(2026, 10, 22, 22, 1, 43);
const configuration = {
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  mode: 'nftables',
};
const pages = statusPages({
  mode: 'nftables',
  version: '1.2.3',
  startedAt: START,
  now: () => START + 3_723_000,
  configuration,
  flags: new Map([
    ['proxy-mode', 'nftables'],
    ['manifests', '/etc/m'],
  ]),
});
const bodyOf = async (path: string) => pages.get(path)?.body();

t.test('each page', async (t) => {
  t.equal(await bodyOf('/healthz'), 'ok');
  t.equal(await bodyOf('/healthz/ping'), 'ok');
  t.equal(await bodyOf('/proxyMode'), 'nftables');
  t.strictSame(JSON.parse((await bodyOf('/configz')) ?? ''), { 'kubeproxy.config.k8s.io': configuration });
  t.match(
    await bodyOf('/flagz'),
    /^\npenstock flagz\nWarning: .*\nmanifests=\/etc\/m\nproxy-mode=nftables\n\n$/,
  );
  const statusz = (await bodyOf('/statusz')) ?? '';
  t.match(statusz, '\nStarted: Sun Nov 22 22:01:43 UTC 2026\nUp: 1 hr 02 min 03 sec\n');
  t.match(
    statusz,
    'Binary version: 1.2.3\nPaths: /configz /flagz /healthz /healthz/ping /metrics /metrics/slis /proxyMode /statusz\n',
  );
});

/** What only the recorded machine says. */
const NOT_THE_PRODUCTS = new Set(['date', 'content-length']);

t.test('pages of the metrics port are those of kube-proxy', needsShared, async (t) => {
  const server = await startMetricsServer({ host: ip('127.0.0.1'), port: 0, pages });
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const [path, name] of [
    ['/proxyMode', 'nftables/proxyMode'],
    ['/healthz', 'nftables/metrics-healthz'],
    ['/nothing', 'nftables/metrics-404'],
    ['/configz', 'nftables/configz'],
    ['/flagz', 'nftables/flagz'],
    ['/statusz', 'nftables/statusz'],
  ] as const) {
    const [ours, stock] = [await ask(url + path), recordedAnswer(name) as Answer];
    t.equal(ours.status, stock.status, `${name}: status`);
    for (const [header, value] of stock.headers) {
      if (!NOT_THE_PRODUCTS.has(header)) t.equal(ours.headers.get(header), value, `${name}: ${header}`);
    }
    if (path.endsWith('z') && path !== '/healthz') continue;
    t.equal(ours.body, stock.body, `${name}: body`);
  }
});

t.test('/configz has every field of kube-proxy for the same file, with its value', needsShared, async (t) => {
  for (const mode of ['iptables', 'nftables', 'ipvs']) {
    const verbosity = mode === 'ipvs' ? '2' : '4';
    const file = readShared(`stock/golden/${mode}/config.yaml`);
    const { source, config } = runArguments(['--config', 'proxy.yaml', `-v=${verbosity}`], file);
    const ours = effectiveConfiguration(source, config);
    const stock = JSON.parse((recordedAnswer(`${mode}/configz`) as Answer).body) as Record<string, Fields>;
    const recorded = stock['kubeproxy.config.k8s.io'] ?? {};
    t.strictSame(
      differing(recorded, ours, []).filter((difference) => !isKnown(difference, mode)),
      [],
      mode,
    );
    const added = Object.keys(ours).filter((field) => !(field in recorded));
    t.strictSame(added, ['featureGates', 'windowsRunAsService', 'udpIdleTimeout', 'penstock'], 'ours');
  }
});

/** What /configz says otherwise than kube-proxy's. */
function isKnown(difference: string, mode: string): boolean {
  // Our default is shorter (docs/configuration.md).
  if (difference === 'nftables.minSyncPeriod: "1s" there, "10ms" here') return true;
  // kube-proxy gives modes that do not run no defaults.
  const [, block] = /^(\w+)\.(?:minS|s)yncPeriod: "0s" there/.exec(difference) ?? [];
  if (block !== undefined && block !== mode) return true;
  return difference.endsWith(': null there, [] here') || difference.startsWith('winkernel.');
}

interface Fields {
  readonly [field: string]: unknown;
}

/** Fields of `stock` that `ours` lacks or has otherwise. */
function differing(stock: Fields, ours: Fields, path: readonly string[]): string[] {
  return Object.entries(stock).flatMap(([field, value]) => {
    const at = [...path, field];
    const own = ours[field];
    if (isFields(value) && isFields(own)) return differing(value, own, at);
    const [theirs, mine] = [JSON.stringify(value), JSON.stringify(own)];
    return theirs === mine ? [] : [`${at.join('.')}: ${theirs} there, ${mine} here`];
  });
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** cAdvisor's, which kube-proxy links in. */
const NOT_OUR_FLAGS = new Set(['boot-id-file', 'machine-id-file']);

t.test('/flagz has every flag of kube-proxy for the same command line', needsShared, async (t) => {
  const flagsOf = (body: string) =>
    new Map([...body.matchAll(/^([\w-]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
  for (const mode of ['iptables', 'nftables']) {
    const stock = recordedAnswer(`${mode}/flagz`) as Answer;
    const recorded = flagsOf(stock.body);
    t.ok(recorded.size > 40);
    recorded.delete('detect-local-mode');
    const argv = [`--config=${recorded.get('config')}`, `-v=${recorded.get('v')}`];
    const file = readShared(`stock/golden/${mode}/config.yaml`);
    const { flags } = runArguments(argv, file);
    const facts = { mode, version: '1.2.3', startedAt: 0, now: () => 0, configuration };
    const body = await statusPages({ ...facts, flags })
      .get('/flagz')
      ?.body();
    const ours = flagsOf(body ?? '');
    for (const [name, value] of recorded) {
      if (!NOT_OUR_FLAGS.has(name)) t.equal(ours.get(name), value, name);
    }
    for (const name of NOT_OUR_FLAGS) t.notOk(ours.has(name), `${name} is still not ours`);
    t.equal(ours.get('detect-local-mode'), 'ClusterCIDR', 'the default that kube-proxy leaves unsaid');
    const shape = (text: string) => text.replaceAll(/^[\w-]+=.*\n/gm, '').replace('kube-proxy', 'penstock');
    t.equal(shape(body ?? ''), shape(stock.body), 'what stands around them');
  }
});

t.test('/statusz has the form of kube-proxy', needsShared, async (t) => {
  const ours = (await bodyOf('/statusz')) ?? '';
  // What stands between name and value is another at each start of kube-proxy.
  const form = (text: string) =>
    text
      .replace('kube-proxy', 'penstock')
      .split('\n')
      .map((line) => (/^Warning/.test(line) ? line : line.split(': ')[0]));
  const stock = form((recordedAnswer('nftables/statusz') as Answer).body);
  // Go's, and that of a Kubernetes that another one emulates.
  const expected = stock
    .filter((line) => line !== 'Emulation version')
    .map((line) => (line === 'Go version' ? 'Node.js version' : line));
  t.strictSame(form(ours), expected);
});

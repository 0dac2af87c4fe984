import t from 'tap';
import { statusPages } from '../../src/observe/statusPages.js';
import { needsShared, readShared } from '../support/shared.js';

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
    /^\npenstock flagz\nWarning: .*\nmanifests=\/etc\/m\nproxy-mode=nftables\n$/,
  );
  const statusz = (await bodyOf('/statusz')) ?? '';
  t.match(statusz, '\nStarted: Sun, 22 Nov 2026 22:01:43 GMT\nUp: 1 hr 02 min 03 sec\n');
  t.match(
    statusz,
    'Binary version: 1.2.3\nPaths: /configz /flagz /healthz /healthz/ping /metrics /proxyMode /statusz\n',
  );
});

/** From a recorded answer: what follows the empty line. */
function recorded(name: string): { readonly head: string; readonly body: string } {
  const [head = '', ...body] = readShared(`stock/golden/nftables/${name}.http`).split(/\r?\n\r?\n/);
  return { head, body: body.join('\n\n') };
}

t.test('types and bodies are those of kube-proxy', needsShared, async (t) => {
  for (const [path, name] of [
    ['/proxyMode', 'proxyMode'],
    ['/healthz', 'metrics-healthz'],
  ] as const) {
    const { head, body } = recorded(name);
    t.equal(await bodyOf(path), body.trimEnd(), path);
    t.match(head, `Content-Type: ${pages.get(path)?.contentType}`, path);
  }
  const { head, body } = recorded('configz');
  t.match(head, `Content-Type: ${pages.get('/configz')?.contentType}`);
  t.strictSame(Object.keys(JSON.parse(body)), ['kubeproxy.config.k8s.io']);
});

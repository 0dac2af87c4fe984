import t from 'tap';
import { type IngressReading, readIngress } from '../../../examples/path/readIngress.js';
import { buildRoutes, routeOf } from '../../../examples/path/routes.js';
import { haproxyFiles, nginxFiles } from '../../../examples/path/writeProxies.js';
import { parseObject } from '../../../src/objects/read/parseObject.js';
import type { Service } from '../../../src/objects/Service.js';
import { HOST_MATCHES, ingress, PATH_MATCHES } from '../../support/pathMatches.js';

function service(name: string, last: number, spec: object = {}): [string, Service] {
  const raw = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP: `172.30.0.${last}`, ports: [{ name: 'http', port: 80 }], ...spec },
  };
  const parsed = parseObject(raw);
  if (parsed.type !== 'object' || parsed.object.kind !== 'Service') throw new Error('no Service');
  return [`shop/${name}`, parsed.object];
}

const services = new Map([
  ...['s0', 's1', 's2', 'other'].map((name, i) => service(name, i + 1)),
  service('elsewhere', 9, { type: 'ExternalName', externalName: 'metadata.internal', clusterIP: undefined }),
]);
const OPTIONS = { folder: '/tmp/x', proxyFrom: [], keepAlive: 10 };

const read = (raw: unknown): IngressReading => readIngress(raw, 'penstock-path');
function tableOf(...raws: readonly unknown[]) {
  const ingresses = raws
    .map(read)
    .flatMap((each) => (each !== 'not ours' && 'ingress' in each ? [each.ingress] : []));
  return buildRoutes({ ingresses, services, secrets: new Map() });
}
function idOf(found: ReturnType<typeof routeOf>): string {
  return typeof found === 'object' ? found.backend.id : (found ?? 'undefined');
}

t.test('each row of the documentation’s table of paths', async (t) => {
  for (const [paths, request, by] of PATH_MATCHES) {
    const named = Object.fromEntries(paths.map((path, i) => [path, `s${i}`]));
    const expected = by === undefined ? 'not found' : `shop_s${paths.indexOf(by)}_80`;
    t.equal(
      idOf(routeOf(tableOf(ingress({ host: 'a.example', paths: named })), 'a.example', request)),
      expected,
      `${paths} ← ${request}`,
    );
  }
});

t.test('each row of its table of wildcard hosts', async (t) => {
  for (const [host, request, matches] of HOST_MATCHES) {
    const found = routeOf(tableOf(ingress({ host, paths: { 'Prefix /': 's0' } })), request, '/');
    t.equal(idOf(found), matches ? 'shop_s0_80' : 'not found', `${host} ← ${request}`);
  }
});

t.test('the most specific host decides; default backends; the older claim', async (t) => {
  const table = tableOf(
    ingress({
      name: 'young',
      created: '2026-02-01T00:00:00Z',
      host: 'a.example',
      paths: { 'Prefix /x': 's1' },
    }),
    ingress({
      name: 'old',
      created: '2026-01-01T00:00:00Z',
      host: 'a.example',
      paths: { 'Prefix /x': 's0' },
    }),
    ingress({ name: 'wild', host: '*.example', paths: { 'Prefix /y': 's2' } }),
    ingress({
      name: 'all',
      spec: { defaultBackend: { service: { name: 'other', port: { name: 'http' } } } },
    }),
  );
  t.equal(idOf(routeOf(table, 'a.example', '/x')), 'shop_s0_80');
  t.match(table.problems, [
    { subject: 'Ingress shop/young', message: /belongs to Ingress shop\/old, which is older/ },
  ]);
  t.equal(idOf(routeOf(table, 'a.example', '/y')), 'shop_other_80', 'not that of the wildcard');
  t.equal(idOf(routeOf(table, 'b.example', '/y')), 'shop_s2_80');
  t.equal(idOf(routeOf(table, 'elsewhere.test', '/')), 'shop_other_80');
});

t.test('only our class', async (t) => {
  t.equal(read(ingress({ paths: { 'Prefix /': 's0' }, spec: { ingressClassName: 'nginx' } })), 'not ours');
  t.equal(read({ kind: 'Ingress', apiVersion: 'extensions/v1beta1' }), 'not ours');
  for (const raw of [null, 1, 'x', [], {}]) t.equal(read(raw), 'not ours');
});

t.test('what could be taken for a directive is refused, and that object only', async (t) => {
  const evil = [
    ...[
      '/a{',
      '/a;b',
      '/a b',
      '/a"b',
      "/a'b",
      '/a\\b',
      '/a$b',
      '/a#b',
      '/a\nb',
      '/a%2fb',
      '//',
      '/a/../b',
      '/a/.',
      'a',
      '/é',
      `/${'a'.repeat(2000)}`,
    ].map((path) => ({
      rules: [{ host: 'a.example', http: { paths: [{ path, pathType: 'Prefix', backend: backend('s0') }] } }],
    })),
    ...[
      'a.example;',
      'A.example',
      'a b',
      '*',
      '*.',
      '*.*.a',
      '10.0.0.1',
      'a"',
      '$host',
      '~.*',
      'a\nb',
      '_',
    ].map((host) => ({
      rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend: backend('s0') }] } }],
    })),
    { rules: [{ http: { paths: [{ path: '/', pathType: 'Regex', backend: backend('s0') }] } }] },
    { rules: [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend: backend('../x') }] } }] },
    { rules: [{ http: { paths: [{ path: '/', pathType: 'Prefix', backend: { resource: {} } }] } }] },
    { tls: [{ hosts: ['a.example'], secretName: '../../etc/passwd' }], defaultBackend: backend('s0') },
    { rules: 'x' },
    {},
  ];
  for (const spec of evil) {
    const reading = read(ingress({ name: 'evil', spec }));
    t.match(reading, { subject: 'Ingress shop/evil', refused: /must be/ }, JSON.stringify(spec).slice(0, 80));
  }
  const many = Array.from({ length: 501 }, (_, i) => ({
    path: `/${i}`,
    pathType: 'Exact',
    backend: backend('s0'),
  }));
  t.match(read(ingress({ spec: { rules: [{ http: { paths: many } }] } })), { refused: /500 paths at most/ });
  t.match(
    read(ingress({ paths: { 'Prefix /': 's0' }, annotations: { 'path.penstock.io/canary': 's1=0; x' } })),
    { refused: /canary/ },
  );
});

t.test('a Service that is not there, or leads out of the cluster: 503, and it is said', async (t) => {
  for (const name of ['nobody', 'elsewhere']) {
    const table = tableOf(ingress({ host: 'a.example', paths: { 'Prefix /': name, 'Exact /ok': 's0' } }));
    t.equal(routeOf(table, 'a.example', '/'), 'unavailable');
    t.equal(idOf(routeOf(table, 'a.example', '/ok')), 'shop_s0_80');
    t.match(table.problems, [{ message: /503/ }]);
  }
});

t.test('both files name the same cluster IPs', async (t) => {
  const table = tableOf(
    ingress({
      host: 'a.example',
      paths: { 'Prefix /': 's0' },
      annotations: { 'path.penstock.io/canary': 's1=10' },
    }),
  );
  const nginx = nginxFiles(table, OPTIONS).get('nginx.conf') ?? '';
  const haproxy = haproxyFiles(table, OPTIONS, { kind: 'gateway' }).get('haproxy.cfg') ?? '';
  for (const text of [nginx, haproxy]) {
    t.match(text, /172\.30\.0\.1:80/);
    t.match(text, /172\.30\.0\.2:80/);
  }
  t.match(nginx, /10% shop_s1_80; \* shop_s0_80;/);
  t.match(haproxy, /use_backend shop_s1_80 if \{ rand\(100\) lt 10 \} host0/);
});

function backend(name: string) {
  return { service: { name, port: { number: 80 } } };
}

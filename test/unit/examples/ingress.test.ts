import t from 'tap';
import { gatewayFiles, sidecarFiles } from '../../../examples/path/haproxy.js';
import { readIngress } from '../../../examples/path/ingress.js';
import { nginxFiles } from '../../../examples/path/nginx.js';
import { buildRoutes, type RouteTable } from '../../../examples/path/routes.js';
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

interface TestTable extends RouteTable {
  readonly said: readonly string[];
}

function tableOf(...raws: readonly unknown[]): TestTable {
  const said: string[] = [];
  const ingresses = raws.map(readIngress).filter((each) => typeof each === 'object');
  return { ...buildRoutes({ ingresses, services, secrets: new Map() }, (line) => said.push(line)), said };
}
/** What both proxies do with it: the first pattern decides. */
function routeOf({ routes }: RouteTable, host: string, path: string): string {
  return routes.find(({ pattern }) => new RegExp(pattern).test(`${host}${path}`))?.to ?? 'not-found';
}

t.test('each row of the documentation’s table of paths', async (t) => {
  for (const [paths, request, by] of PATH_MATCHES) {
    const named = Object.fromEntries(paths.map((path, i) => [path, `s${i}`]));
    const expected = by === undefined ? 'not-found' : `shop_s${paths.indexOf(by)}_80`;
    t.equal(
      routeOf(tableOf(ingress({ host: 'a.example', paths: named })), 'a.example', request),
      expected,
      `${paths} ← ${request}`,
    );
  }
});

t.test('each row of its table of wildcard hosts', async (t) => {
  for (const [host, request, matches] of HOST_MATCHES) {
    const found = routeOf(tableOf(ingress({ host, paths: { 'Prefix /': 's0' } })), request, '/');
    t.equal(found, matches ? 'shop_s0_80' : 'not-found', `${host} ← ${request}`);
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
  t.equal(routeOf(table, 'a.example', '/x'), 'shop_s0_80');
  t.match(table.said, [/^Ingress shop\/young: .* belongs to Ingress shop\/old, which is older$/]);
  t.equal(routeOf(table, 'a.example', '/y'), 'shop_other_80', 'not that of the wildcard');
  t.equal(routeOf(table, 'b.example', '/y'), 'shop_s2_80');
  t.equal(routeOf(table, 'elsewhere.test', '/'), 'shop_other_80');
});

t.test('only our class', async (t) => {
  t.equal(
    readIngress(ingress({ paths: { 'Prefix /': 's0' }, spec: { ingressClassName: 'nginx' } })),
    undefined,
  );
  t.equal(readIngress({ kind: 'Ingress', apiVersion: 'extensions/v1beta1' }), undefined);
  for (const raw of [null, 1, 'x', [], {}]) t.equal(readIngress(raw), undefined);
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
    const refused = readIngress(ingress({ name: 'evil', spec }));
    t.type(refused, 'string', JSON.stringify(spec).slice(0, 80));
  }
  const many = Array.from({ length: 501 }, (_, i) => ({
    path: `/${i}`,
    pathType: 'Exact',
    backend: backend('s0'),
  }));
  t.match(
    readIngress(ingress({ spec: { rules: [{ http: { paths: many } }] } })),
    /500 rules and paths at most/,
  );
  t.match(
    readIngress(
      ingress({ paths: { 'Prefix /': 's0' }, annotations: { 'path.penstock.io/canary': 's1=0; x' } }),
    ),
    /canary/,
  );
});

t.test('a Service that is not there, or leads out of the cluster: 503, and it is said', async (t) => {
  for (const name of ['nobody', 'elsewhere']) {
    const table = tableOf(ingress({ host: 'a.example', paths: { 'Prefix /': name, 'Exact /ok': 's0' } }));
    t.equal(routeOf(table, 'a.example', '/'), 'unavailable');
    t.equal(routeOf(table, 'a.example', '/ok'), 'shop_s0_80');
    t.match(table.said, [/503$/]);
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
  const haproxy = gatewayFiles(table, OPTIONS).get('haproxy.cfg') ?? '';
  const sidecar = sidecarFiles(table, OPTIONS).get('haproxy.cfg') ?? '';
  for (const text of [nginx, haproxy, sidecar]) {
    t.match(text, /172\.30\.0\.1:80/);
    t.match(text, /172\.30\.0\.2:80/);
  }
  t.match(nginx, /server 172\.30\.0\.1:80 weight=90 .*\n.*\n.*\n +server 172\.30\.0\.2:80 weight=10 /);
  t.match(
    haproxy,
    /backend shop_s0_80_s1_10\n.* 172\.30\.0\.1:80 weight 90 .*\n.* 172\.30\.0\.2:80 weight 10 /,
  );
});

function backend(name: string) {
  return { service: { name, port: { number: 80 } } };
}

/** Mistakes between objects of a person, and Endpoints beside EndpointSlices. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { ManifestSet } from '../../../../src/kubernetes/manifests/ManifestSet.js';
import { refOf } from '../../../../src/objects/ApiObject.js';
import { OPTION_NAMES } from '../../../../src/objects/optionNames.js';
import { fromRoot } from '../../../support/fromRoot.js';
import { serviceManifest, sliceManifest } from '../../objects/samples.js';

type Fields = Record<string, unknown>;

function updateOf(...objects: unknown[]) {
  const set = new ManifestSet();
  set.replace(
    'a.yaml',
    objects.map((raw, i) => ({ raw, line: i + 1, apiVersion: undefined, kind: undefined })),
  );
  return set.update([]);
}

/** `Service shop/cart: has no address …`, notes with a star. */
function told(...objects: unknown[]): string[] {
  return updateOf(...objects).problems.map(
    ({ subject, message, severity }) => `${severity === 'note' ? '*' : ''}${subject}: ${message}`,
  );
}

const endpoints = (subsets: unknown, metadata: Fields = {}): Fields => ({
  apiVersion: 'v1',
  kind: 'Endpoints',
  metadata: { name: 'cart', namespace: 'shop', ...metadata },
  subsets,
});

t.test('a Service and its slice in agreement: nothing is told', async (t) => {
  t.same(told(serviceManifest(), sliceManifest()), []);
  t.same(told(serviceManifest()), [], 'endpoints may come later');
  const headless = serviceManifest({ clusterIP: 'None' });
  t.same(told(headless, sliceManifest()), []);
  t.same(told(serviceManifest({ clusterIP: undefined, type: 'ExternalName', externalName: 'a.b' })), []);
});

t.test('a Service without any address', async (t) => {
  const bare = (spec: Fields, rest: Fields = {}) =>
    serviceManifest({ clusterIP: undefined, ...spec }, {}, rest);
  t.match(told(bare({}), sliceManifest()), [/^Service shop\/cart: has no address to be reached at/]);
  t.same(told(bare({ externalIPs: ['192.0.2.1'] }), sliceManifest()), []);
  t.same(
    told(bare({ type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30080 }] }), sliceManifest()),
    [],
  );
  const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
  t.same(told(bare({ type: 'LoadBalancer' }, { status }), sliceManifest()), []);
});

t.test('node ports', async (t) => {
  t.match(told(serviceManifest({ type: 'NodePort' }), sliceManifest()), [
    /^Service shop\/cart: spec\.ports\[0\] has no nodePort, which nobody chooses here/,
  ]);
  t.same(told(serviceManifest({ type: 'LoadBalancer' }), sliceManifest()), [], 'it may do without');
  t.match(told(serviceManifest({ ports: [{ name: 'http', port: 80, nodePort: 30080 }] }), sliceManifest()), [
    /^\*Service shop\/cart: spec\.ports\[0\]\.nodePort is 30080, but spec\.type is ClusterIP/,
  ]);
});

t.test('port names that differ', async (t) => {
  t.match(told(serviceManifest(), sliceManifest({ ports: [{ name: 'web', port: 8080 }] })), [
    /^Service shop\/cart: port "http" \(TCP\) has no endpoints: its slices have "web" \(TCP\)/,
  ]);
  t.match(told(serviceManifest(), sliceManifest({ ports: [{ port: 8080 }] })), [
    /its slices have "" \(no name, TCP\)/,
  ]);
  t.match(told(serviceManifest(), sliceManifest({ ports: [{ name: 'http', port: 53, protocol: 'UDP' }] })), [
    /port "http" \(TCP\) has no endpoints: its slices have "http" \(UDP\)/,
  ]);
});

t.test('a slice without its Service', async (t) => {
  t.same(told(sliceManifest()), [
    'EndpointSlice shop/cart-x7k2p: belongs to Service shop/cart, which is not there',
  ]);
  t.same(told(serviceManifest({}, { namespace: 'other' }), sliceManifest()), [
    'EndpointSlice shop/cart-x7k2p: belongs to Service shop/cart, which is not there; ' +
      'there is a Service other/cart: a slice must be in the namespace of its Service',
  ]);
});

t.test('objects that are not read are told in one note a file', async (t) => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } };
  const deployment = { apiVersion: 'apps/v1', kind: 'Deployment' };
  t.same(told(pod, serviceManifest(), pod, deployment, sliceManifest()), [
    '*a.yaml: holds 3 objects that penstock does not read (2 Pod, 1 Deployment); ' +
      'it reads Services, EndpointSlices, Endpoints, Nodes and ServiceCIDRs',
  ]);
});

t.test('annotations that nothing reads', async (t) => {
  const annotated = (...names: readonly string[]) =>
    serviceManifest({}, { annotations: Object.fromEntries(names.map((name) => [name, 'x'])) });
  t.same(told(annotated('penstock.io/endpoint', 'example.com/endpoint'), sliceManifest()), [
    'Service shop/cart: metadata.annotations[penstock.io/endpoint] is none that penstock reads; did you mean penstock.io/endpoints?',
  ]);
  t.match(told(annotated('penstock.io/colour'), sliceManifest()), [/is none that penstock reads$/]);
  t.same(
    told(annotated('penstock.io/health-check-x'), sliceManifest()),
    [],
    'told by who reads health checks',
  );
  // But for labels, and what is no Service's.
  const others = /^(proxy|leave|cleanup|component|active|canary|v1alpha1|load-balancer)$/;
  const pages = ['balancing', 'first-packet', 'loadbalancer', 'userspace', 'without-kubernetes'];
  const text = pages.map((page) => readFileSync(fromRoot(`docs/${page}.md`), 'utf8')).join('\n');
  const named = new Set(
    [...text.matchAll(/penstock\.io\/([a-z0-9-]*[a-z0-9])/g)].map(([, name = '']) => name),
  );
  const known = new Set(OPTION_NAMES);
  t.same(
    [...named].filter((name) => !known.has(name) && !others.test(name)),
    [],
    'all that the docs name are known',
  );
  t.same(
    OPTION_NAMES.filter((name) => !text.includes(name)),
    [],
    'and the docs name all',
  );
});

t.test('fields that do not exist', async (t) => {
  t.match(told(serviceManifest({ clusterip: '10.0.0.1' }), sliceManifest({ port: [] })), [
    /^Service shop\/cart: spec\.clusterip is no field .* did you mean spec\.clusterIP\?$/,
    /^EndpointSlice shop\/cart-x7k2p: port is no field .* did you mean ports\?$/,
  ]);
});

t.test('Endpoints are read: ready or not, both families, several subsets', async (t) => {
  const { changes, problems } = updateOf(
    serviceManifest(),
    endpoints([
      {
        addresses: [{ ip: '10.1.0.5', nodeName: 'node1' }, { ip: 'fd00::5' }],
        notReadyAddresses: [{ ip: '10.1.0.6' }],
        ports: [{ name: 'http', port: 8080 }],
      },
      { addresses: [{ ip: '10.1.0.7' }], ports: [{ name: 'http', port: 9090 }] },
    ]),
  );
  t.same(problems, []);
  const slices = changes.flatMap((change) =>
    change.type === 'upsert' && change.object.kind === 'EndpointSlice' ? [change.object] : [],
  );
  t.same(
    slices.map(({ name, serviceName, family, ports: [port], endpoints: list }) => [
      name,
      serviceName,
      family,
      port?.port,
      ...list.map(({ address, nodeName, ready }) => `${address} ${nodeName} ${ready}`),
    ]),
    [
      ['cart-endpoints-0-ipv4', 'cart', 'IPv4', 8080, '10.1.0.5 node1 true', '10.1.0.6  false'],
      ['cart-endpoints-0-ipv6', 'cart', 'IPv6', 8080, 'fd00::5  true'],
      ['cart-endpoints-1-ipv4', 'cart', 'IPv4', 9090, '10.1.0.7  true'],
    ],
  );
});

t.test('what is wrong with Endpoints is told of the Endpoints', async (t) => {
  t.match(
    told(
      serviceManifest(),
      endpoints([{ addresses: [{ ip: '127.0.0.1' }], ports: [{ name: 'http', port: 80 }] }]),
    ),
    [/^Endpoints shop\/cart: endpoints\[0\]\.addresses\[0\] is "127\.0\.0\.1", which is a loopback address/],
  );
  t.match(told(serviceManifest(), endpoints([{ adresses: [] }])), [
    /^Endpoints shop\/cart: subsets\[0\]\.adresses is no field of kind Endpoints .* did you mean subsets\[0\]\.addresses\?/,
  ]);
  t.match(told(endpoints('x')), [/^Endpoints shop\/cart: subsets is "x", must be a list/]);
  t.match(told(endpoints([], { name: '../x' })), [
    /^Endpoints \S+ ?\(no name\): metadata\.name is "\.\.\/x"/,
  ]);
  t.match(told(endpoints([{ addresses: [{ ip: '10.1.0.5' }], ports: [{ name: 'http', port: 8080 }] }])), [
    /^Endpoints shop\/cart: belongs to Service shop\/cart, which is not there/,
  ]);
});

t.test('EndpointSlices win over Endpoints of the same Service, and that is said once', async (t) => {
  const both = endpoints([
    { addresses: [{ ip: '10.1.0.9' }, { ip: 'fd00::9' }], ports: [{ name: 'http', port: 8080 }] },
  ]);
  for (const order of [
    [serviceManifest(), both, sliceManifest()],
    [sliceManifest(), both, serviceManifest()],
  ]) {
    const { changes, problems } = updateOf(...order);
    const names = changes.map((change) => (change.type === 'upsert' ? refOf(change.object).name : '-'));
    t.same(names.sort(), ['cart', 'cart-x7k2p']);
    t.same(
      problems.map(({ subject, message }) => `${subject}: ${message}`),
      [
        'Endpoints shop/cart: is left out: EndpointSlice shop/cart-x7k2p is for the same Service, and EndpointSlices win',
      ],
    );
  }
});

t.test('problems are told in a bounded number', async (t) => {
  const bad = Array.from({ length: 5000 }, (_, i) => serviceManifest({ type: 'x' }, { name: `s${i}` }));
  const list = told(...bad);
  t.equal(list.length, 1001);
  t.equal(list.at(-1), 'manifests: 4000 more problems; the first 1000 are named');
});

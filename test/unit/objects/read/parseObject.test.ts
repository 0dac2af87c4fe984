import fc from 'fast-check';
import t from 'tap';
import { parseCidr, parseIp } from '../../../../src/net/ip.js';
import type { ApiObject } from '../../../../src/objects/ApiObject.js';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import {
  nodeManifest,
  serviceCIDRManifest,
  serviceManifest,
  sliceManifest,
  verdict,
  warningsOf,
} from '../samples.js';

t.test('other things in the folder do not disturb', async (t) => {
  const foreign: unknown[] = [
    undefined,
    null,
    'text',
    7,
    [],
    {},
    { kind: 7 },
    { kind: '__proto__' },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } },
    { apiVersion: 'apps/v1', kind: 'Deployment' },
    { apiVersion: 'v1', kind: 'ServiceCIDR', metadata: { name: 'x' } },
    { apiVersion: 'serving.knative.dev/v1', kind: 'Service', metadata: { name: 'x' } },
  ];
  for (const raw of foreign)
    t.strictSame(parseObject(raw), { type: 'ignored', ref: undefined, warnings: [] }, JSON.stringify(raw));
});

t.test('an outdated version is answered with what to use', async (t) => {
  const metadata = { name: 'cart', namespace: 'shop' };
  const advice =
    'write an EndpointSlice of discovery.k8s.io/v1 with the label kubernetes.io/service-name instead';
  const beta = parseObject({ apiVersion: 'discovery.k8s.io/v1beta1', kind: 'EndpointSlice', metadata });
  t.strictSame(warningsOf(beta), [
    `EndpointSlice shop/cart: discovery.k8s.io/v1beta1 EndpointSlice is not read; ${advice}`,
  ]);
  t.equal(beta.type, 'ignored');
});

t.test('items of typed lists have their type from the list', async (t) => {
  const { kind: _kind, apiVersion: _version, ...bare } = serviceManifest();
  t.equal(parseObject(bare, { apiVersion: 'v1', kind: 'Service' }).type, 'object');
  t.equal(parseObject(bare).type, 'ignored');
  t.match(verdict({ ...bare, kind: 'Service' }), /apiVersion is missing, must be v1/);
});

t.test('problems say where; invalid and ignored objects say which', async (t) => {
  const invalid = parseObject(serviceManifest({ type: 'x' }), { where: 'cart.yaml:3' });
  t.match(invalid, { type: 'invalid', ref: { kind: 'Service', namespace: 'shop', name: 'cart' } });
  t.match(invalid, { problem: { subject: 'Service shop/cart', where: 'cart.yaml:3' } });
  t.match(parseObject(serviceManifest({}, { name: 7 })), { type: 'invalid', ref: undefined });
  const ref = { kind: 'EndpointSlice', namespace: 'shop', name: 'cart-x7k2p' };
  t.match(parseObject(sliceManifest({ addressType: 'FQDN' })), { type: 'ignored', ref });
  t.match(parseObject(nodeManifest({ spec: 1 })), { ref: { kind: 'Node', namespace: '', name: 'node1' } });
  const range = { kind: 'ServiceCIDR', namespace: '', name: 'kubernetes' };
  t.match(parseObject(serviceCIDRManifest([])), { type: 'invalid', ref: range });
});

/** Values that are right for some field, so that the fuzzer gets past the first check of others. */
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom('', 'a', 'A', 'http', 'TCP', 'None', 'Local', 'ClientIP', 'IPv6', 'Proxy', 'x'.repeat(300)),
  fc.constantFrom(
    '10.0.0.1',
    '::1',
    '::ffff:1.2.3.4',
    'fd00::1',
    '10.0.0.0/8',
    '0.0.0.0/0',
    '1.2.3',
    '127.0.0.1',
  ),
  fc.constantFrom(-1, 0, 1, 53, 80, 65_535, 65_536, 1e21, 0.5),
);

type Plain = Record<string, unknown>;

/** A path to each value inside of plain data. */
function pathsIn(data: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof data !== 'object' || data === null) return [path];
  return [path, ...Object.entries(data).flatMap(([name, part]) => pathsIn(part, [...path, name]))];
}

function put(data: unknown, path: readonly string[], value: unknown): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return value;
  if (Array.isArray(data)) return data.map((item, i) => (String(i) === name ? put(item, rest, value) : item));
  return typeof data === 'object' && data !== null
    ? { ...data, [name]: put((data as Plain)[name], rest, value) }
    : data;
}

const complete: readonly Plain[] = [
  serviceManifest(
    {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.10', 'fd00::1'],
      ipFamilies: ['IPv4', 'IPv6'],
      ports: [
        { name: 'a', protocol: 'UDP', port: 53, nodePort: 30_053 },
        { name: 'b', port: 80 },
      ],
      externalIPs: ['192.0.2.1'],
      loadBalancerSourceRanges: ['10.0.0.0/8', 'fd00::/8'],
      internalTrafficPolicy: 'Local',
      externalTrafficPolicy: 'Local',
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      healthCheckNodePort: 31_000,
    },
    {
      uid: 'u',
      creationTimestamp: '2026-01-01T00:00:00Z',
      annotations: { 'penstock.io/a': 'b', 'penstock.io/__proto__': 'c' },
    },
    { status: { loadBalancer: { ingress: [{ ip: '192.0.2.2', ipMode: 'VIP' }] } } },
  ),
  sliceManifest({
    ports: [{ name: 'a', protocol: 'TCP', port: 80 }],
    endpoints: [
      {
        addresses: ['10.1.0.5', '10.1.0.6'],
        conditions: { ready: true, serving: true, terminating: false },
        hints: { forZones: [{ name: 'a' }], forNodes: [{ name: 'b' }] },
        nodeName: 'node1',
      },
    ],
  }),
  nodeManifest({
    spec: { podCIDR: '10.1.0.0/24', podCIDRs: ['10.1.0.0/24'], taints: [{ key: 'a' }] },
    status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] },
  }),
  serviceCIDRManifest(['10.96.0.0/12', 'fd00:96::/112']),
];

/** A complete object in which up to three values have been replaced. */
const damaged = fc
  .tuple(fc.constantFrom(...complete), fc.array(fc.tuple(fc.nat(), value), { maxLength: 3 }))
  .map(([object, replacements]) =>
    replacements.reduce<unknown>((data, [choice, replacement]) => {
      const paths = pathsIn(data);
      return put(data, paths[choice % paths.length] ?? [], replacement);
    }, object),
  );

/** Everything the type files promise about values. */
function breach(object: ApiObject): string | undefined {
  const addresses: readonly string[] =
    object.kind === 'Service'
      ? [
          ...Object.values(object.clusterIPs),
          ...object.externalIPs,
          ...object.loadBalancerIngress.map((ingress) => ingress.ip),
        ]
      : object.kind === 'EndpointSlice'
        ? object.endpoints.map((endpoint) => endpoint.address)
        : object.kind === 'Node'
          ? object.addresses
          : [];
  const ranges: readonly string[] =
    object.kind === 'Service'
      ? object.loadBalancerSourceRanges
      : object.kind === 'Node'
        ? object.podCIDRs
        : object.kind === 'ServiceCIDR'
          ? object.cidrs
          : [];
  const ports = 'ports' in object ? object.ports : [];
  if (object.name === '' || ('namespace' in object && object.namespace === '')) return 'name';
  if (addresses.some((address) => parseIp(address) !== address)) return 'address';
  if (ranges.some((range) => parseCidr(range) !== range)) return 'range';
  for (const { name, protocol, port } of ports) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) return 'port';
    if (!['TCP', 'UDP', 'SCTP'].includes(protocol) || typeof name !== 'string')
      return 'port name or protocol';
  }
  if (object.kind === 'ServiceCIDR' && object.cidrs.length === 0) return 'no range';
  if (object.kind === 'EndpointSlice') {
    if (object.serviceName === '') return 'service name';
    for (const { ready, serving, nodeName } of object.endpoints)
      if (typeof ready !== 'boolean' || typeof serving !== 'boolean' || typeof nodeName !== 'string')
        return 'endpoint';
  }
  return undefined;
}

t.test('whatever comes in, nothing throws and no invalid object comes out', async (t) => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(
      fc.oneof({ arbitrary: fc.jsonValue(), weight: 1 }, { arbitrary: damaged, weight: 4 }),
      (raw) => {
        const result = parseObject(raw);
        seen.add(result.type === 'object' ? result.object.kind : result.type);
        if (result.type !== 'object') return true;
        return breach(result.object) === undefined;
      },
    ),
    { numRuns: 3000 },
  );
  t.strictSame(
    [...seen].sort(),
    ['EndpointSlice', 'Node', 'Service', 'ServiceCIDR', 'ignored', 'invalid'],
    'all outcomes were met',
  );
});

t.test('the result shares nothing with the raw object', async (t) => {
  const raws = [
    serviceManifest(
      { externalIPs: ['192.0.2.1'], clusterIPs: ['10.96.0.10'] },
      { annotations: { 'penstock.io/a': 'b' } },
    ),
    sliceManifest({ endpoints: [{ addresses: ['10.1.0.5'], hints: { forZones: [{ name: 'a' }] } }] }),
    nodeManifest({ spec: { podCIDRs: ['10.1.2.0/24'] } }),
    serviceCIDRManifest(),
  ];
  const parts = (value: unknown): object[] =>
    typeof value === 'object' && value !== null ? [value, ...Object.values(value).flatMap(parts)] : [];
  for (const raw of raws) {
    const result = parseObject(raw);
    const own = new Set(parts(raw));
    t.equal(result.type, 'object');
    t.notOk(parts(result.type === 'object' && result.object).some((part) => own.has(part)));
  }
});

t.test('fields that do not exist are told to whoever wrote the object, with what was meant', async (t) => {
  const raw = serviceManifest(
    {
      externalIps: ['192.0.2.1'],
      ports: [{ name: 'http', port: 80, nodeport: 30080, adress: 1 }],
      replicas: 3,
      '\u001b[2J\u202e': 1,
    },
    { label: {}, annotations: { any: 'thing' } },
    { ports: [], status: { loadBalancer: { ingress: [{ ip: '192.0.2.2', ipmode: 'VIP' }] } } },
  );
  const subject = 'Service shop/cart: ';
  const ignored = 'is no field of kind Service and is ignored';
  t.strictSame(
    warningsOf(parseObject(raw, { writtenBy: 'person' })).sort(),
    [
      `${subject}metadata.label ${ignored}; did you mean metadata.labels?`,
      `${subject}ports ${ignored}; did you mean spec.ports?`,
      `${subject}spec.\\x1b[2J\\u202e ${ignored}`,
      `${subject}spec.externalIps ${ignored}; did you mean spec.externalIPs?`,
      `${subject}spec.ports[0].adress ${ignored}`,
      `${subject}spec.ports[0].nodeport ${ignored}; did you mean spec.ports[0].nodePort?`,
      `${subject}spec.replicas ${ignored}`,
      `${subject}status.loadBalancer.ingress[0].ipmode ${ignored}; did you mean status.loadBalancer.ingress[0].ipMode?`,
    ].sort(),
  );
  t.strictSame(warningsOf(parseObject(raw)), [], 'the API server has its own rules');
});

t.test('unknown fields without end cost little', async (t) => {
  const fields = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`field${i}`, 1]));
  const raw = serviceManifest({ ...fields, ['x'.repeat(1_000_000)]: 1 });
  const before = process.cpuUsage().user;
  const warnings = warningsOf(parseObject(raw, { writtenBy: 'person' }));
  t.ok(process.cpuUsage().user - before < 500_000);
  t.equal(warnings.length, 11);
  t.match(warnings.at(-1), /and 19991 more$/);
});

t.test('what a terminal would act on is shown as an escape', async (t) => {
  const evil = '\u009b31m\u202e\u001b[31m\u2028';
  const texts = [
    verdict(serviceManifest({ type: evil })),
    verdict(serviceManifest({}, { name: evil })),
    ...warningsOf(parseObject(serviceManifest({ externalIPs: [evil] }))),
  ];
  t.equal(texts.length, 3);
  for (const text of texts) {
    t.match(text, /\\x9b31m\\u202e/);
    t.notMatch(text, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  }
});

import t from 'tap';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import type { Service } from '../../../../src/objects/Service.js';
import { serviceManifest, sliceManifest, verdict, warningsOf } from '../samples.js';

function parse(raw: unknown): Service {
  const result = parseObject(raw);
  if (result.type !== 'object' || result.object.kind !== 'Service') throw new Error(verdict(raw));
  return result.object;
}

t.test('a Service as a person writes it gets the defaults of the API server', async (t) => {
  t.strictSame(parse(serviceManifest({ ports: [{ port: 80 }] }, { namespace: undefined })), {
    kind: 'Service',
    namespace: 'default',
    name: 'cart',
    uid: '',
    created: undefined,
    proxyName: undefined,
    options: {},
    type: 'ClusterIP',
    headless: false,
    clusterIPs: { IPv4: '10.96.0.10' },
    ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 0 }],
    externalIPs: [],
    loadBalancerIngress: [],
    loadBalancerSourceRanges: [],
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    affinitySeconds: undefined,
    healthCheckNodePort: 0,
  });
});

t.test('every used field is read', async (t) => {
  const service = parse(
    serviceManifest(
      {
        type: 'LoadBalancer',
        clusterIP: '10.96.0.10',
        clusterIPs: ['10.96.0.10', 'FD00:0::1'],
        ipFamilies: ['IPv4', 'IPv6'],
        ports: [
          { name: 'dns', protocol: 'UDP', port: 53, nodePort: 30053, targetPort: 'anything' },
          { name: 'dns-tcp', protocol: 'TCP', port: 53, nodePort: 30053 },
          { name: 'sig', protocol: 'SCTP', port: 3868 },
        ],
        externalIPs: ['192.0.2.010', 'fd00::00:5'],
        loadBalancerSourceRanges: [' 198.51.100.7/24 '],
        internalTrafficPolicy: 'Local',
        externalTrafficPolicy: 'Local',
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
        healthCheckNodePort: 31000,
      },
      {
        uid: 'u1',
        creationTimestamp: '2026-01-02T03:04:05Z',
        labels: { 'service.kubernetes.io/service-proxy-name': 'other' },
        annotations: { 'penstock.io/algorithm': 'maglev', 'example.com/x': 'y' },
      },
      {
        status: {
          loadBalancer: {
            ingress: [
              { ip: '203.0.113.1' },
              { ip: '203.0.113.2', ipMode: 'Proxy' },
              { hostname: 'lb.example.com' },
            ],
          },
        },
      },
    ),
  );
  t.strictSame(service, {
    kind: 'Service',
    namespace: 'shop',
    name: 'cart',
    uid: 'u1',
    created: Date.UTC(2026, 0, 2, 3, 4, 5),
    proxyName: 'other',
    options: { algorithm: 'maglev' },
    labels: { 'service.kubernetes.io/service-proxy-name': 'other' },
    type: 'LoadBalancer',
    headless: false,
    clusterIPs: { IPv4: '10.96.0.10', IPv6: 'fd00::1' },
    ports: [
      { name: 'dns', protocol: 'UDP', port: 53, nodePort: 30053 },
      { name: 'dns-tcp', protocol: 'TCP', port: 53, nodePort: 30053 },
      { name: 'sig', protocol: 'SCTP', port: 3868, nodePort: 0 },
    ],
    externalIPs: ['192.0.2.10', 'fd00::5'],
    loadBalancerIngress: [
      { ip: '203.0.113.1', ipMode: 'VIP' },
      { ip: '203.0.113.2', ipMode: 'Proxy' },
    ],
    loadBalancerSourceRanges: ['198.51.100.0/24'],
    internalTrafficPolicy: 'Local',
    externalTrafficPolicy: 'Local',
    affinitySeconds: 60,
    healthCheckNodePort: 31000,
  });
});

t.test('cluster IPs by family', async (t) => {
  const cases: [name: string, spec: Record<string, unknown>, expected: unknown][] = [
    ['only clusterIP', { clusterIP: '10.0.0.1' }, { IPv4: '10.0.0.1' }],
    ['only clusterIP, of IPv6', { clusterIP: 'fd00::1' }, { IPv6: 'fd00::1' }],
    ['only clusterIPs', { clusterIP: null, clusterIPs: ['10.0.0.1'] }, { IPv4: '10.0.0.1' }],
    [
      'families in the other order',
      { clusterIP: 'fd00::1', clusterIPs: ['fd00::1', '10.0.0.1'], ipFamilies: ['IPv6', 'IPv4'] },
      { IPv4: '10.0.0.1', IPv6: 'fd00::1' },
    ],
    [
      'two families asked for, one address given',
      { clusterIP: '10.0.0.1', ipFamilies: ['IPv4', 'IPv6'] },
      { IPv4: '10.0.0.1' },
    ],
    [
      'equal but written differently',
      { clusterIP: '10.0.0.01', clusterIPs: ['10.0.0.1'] },
      { IPv4: '10.0.0.1' },
    ],
    ['none yet', { clusterIP: '' }, {}],
    ['none at all', { clusterIP: undefined }, {}],
    ['an ExternalName has none', { type: 'ExternalName', clusterIP: '', ports: [] }, {}],
  ];
  for (const [name, spec, expected] of cases)
    t.strictSame(parse(serviceManifest(spec)).clusterIPs, expected, name);
});

t.test('headless', async (t) => {
  for (const spec of [{ clusterIP: 'None' }, { clusterIP: undefined, clusterIPs: ['None'] }]) {
    const service = parse(serviceManifest({ ...spec, ports: [] }));
    t.strictSame([service.headless, service.clusterIPs], [true, {}]);
  }
});

t.test('affinity', async (t) => {
  const seconds = (spec: Record<string, unknown>) => parse(serviceManifest(spec)).affinitySeconds;
  t.equal(seconds({ sessionAffinity: 'None' }), undefined);
  t.equal(seconds({ sessionAffinity: 'ClientIP' }), 10_800);
  t.equal(seconds({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: null } }), 10_800);
  const config = { clientIP: { timeoutSeconds: 86_400 } };
  t.equal(seconds({ sessionAffinity: 'ClientIP', sessionAffinityConfig: config }), 86_400);
  t.equal(seconds({ sessionAffinity: 'None', sessionAffinityConfig: config }), undefined);
});

t.test('faults set the Service aside', async (t) => {
  const affinity = (timeoutSeconds: unknown) => ({
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds } },
  });
  const ports = (...list: unknown[]) => ({ ports: list });
  const cases: [spec: Record<string, unknown>, message: string][] = [
    [
      ports({ name: 'a', port: 1 }, { name: 'b', port: 70000 }),
      'spec.ports[1].port is 70000, must be 1 to 65535',
    ],
    [ports({ port: 0 }), 'spec.ports[0].port is 0, must be 1 to 65535'],
    [ports({ port: 80.5 }), 'spec.ports[0].port is 80.5, must be 1 to 65535'],
    [ports({ port: '80' }), 'spec.ports[0].port is "80", must be a number, 1 to 65535'],
    [ports({}), 'spec.ports[0].port is missing, must be 1 to 65535'],
    [ports('80'), 'spec.ports[0] is "80", must be an object'],
    [{ ports: { port: 80 } }, 'spec.ports is an object, must be a list'],
    [{ ports: [] }, 'spec.ports is an empty list, must be a list of at least one port'],
    [ports({ port: 80, protocol: 'tcp' }), 'spec.ports[0].protocol is "tcp", must be one of TCP, UDP, SCTP'],
    [ports({ port: 80, nodePort: -1 }), 'spec.ports[0].nodePort is -1, must be 0 to 65535'],
    [
      ports({ name: 'a', port: 80 }, { name: 'a', port: 81 }),
      'spec.ports[1].name is "a", must be different from that of spec.ports[0]',
    ],
    [
      ports({ name: 'a', port: 80 }, { name: 'b', port: 80 }),
      'spec.ports[1].port is 80, must be different from that of spec.ports[0]',
    ],
    [
      ports({ name: 'a', port: 80, nodePort: 30000 }, { name: 'b', port: 81, nodePort: 30000 }),
      'spec.ports[1].nodePort is 30000, must be different from that of spec.ports[0]',
    ],
    [
      ports({ name: 'a', port: 80 }, { port: 81 }),
      'spec.ports[1].name is missing, must be given: there are several ports',
    ],
    [
      ports({ name: 'A b', port: 80 }),
      'spec.ports[0].name is "A b", must be at most 63 lower case letters, digits or "-", with a letter or digit at both ends',
    ],
    [ports({ name: 8080, port: 80 }), 'spec.ports[0].name is 8080, must be a string (put it in quotes)'],
    [{ clusterIP: '10.0.0.256' }, 'spec.clusterIP is "10.0.0.256", must be an IP address'],
    [{ clusterIP: '::ffff:10.0.0.1' }, 'spec.clusterIP is "::ffff:10.0.0.1", must be an IP address'],
    [
      { clusterIP: '127.0.0.1' },
      'spec.clusterIP is "127.0.0.1", must be an address that can be served, not a loopback address',
    ],
    [{ clusterIPs: ['10.0.0.9'] }, 'spec.clusterIP is "10.96.0.10", must be equal to clusterIPs[0]'],
    [
      { clusterIPs: ['10.96.0.10', '10.96.0.11'] },
      'spec.clusterIPs[1] is "10.96.0.11", must be the only address of its family',
    ],
    [
      { ipFamilies: ['IPv6'] },
      'spec.clusterIP is "10.96.0.10", must be of the family that ipFamilies[0] names, IPv6',
    ],
    [{ clusterIP: 10 }, 'spec.clusterIP is 10, must be a string (put it in quotes)'],
    [
      { type: 'Cluster' },
      'spec.type is "Cluster", must be one of ClusterIP, NodePort, LoadBalancer, ExternalName',
    ],
    [
      { externalTrafficPolicy: 'local' },
      'spec.externalTrafficPolicy is "local", must be one of Cluster, Local',
    ],
    [
      { internalTrafficPolicy: 'Node' },
      'spec.internalTrafficPolicy is "Node", must be one of Cluster, Local',
    ],
    [{ sessionAffinity: 'Cookie' }, 'spec.sessionAffinity is "Cookie", must be one of None, ClientIP'],
    [affinity(0), 'spec.sessionAffinityConfig.clientIP.timeoutSeconds is 0, must be 1 to 86400'],
    [affinity(86_401), 'spec.sessionAffinityConfig.clientIP.timeoutSeconds is 86401, must be 1 to 86400'],
    [{ healthCheckNodePort: 65536 }, 'spec.healthCheckNodePort is 65536, must be 0 to 65535'],
    [{ externalIPs: '192.0.2.1' }, 'spec.externalIPs is "192.0.2.1", must be a list'],
    [{ externalIPs: [null] }, 'spec.externalIPs[0] is missing, must be a string'],
    [
      { loadBalancerSourceRanges: ['10.0.0.1'] },
      'spec.loadBalancerSourceRanges[0] is "10.0.0.1", must be a CIDR such as 192.0.2.0/24 (without a range that can be read, everybody would be let in)',
    ],
  ];
  for (const [spec, message] of cases)
    t.equal(verdict(serviceManifest(spec)), `Service shop/cart: ${message}`);
});

t.test('faults outside of spec', async (t) => {
  const label = 'at most 63 lower case letters, digits or "-", with a letter or digit at both ends';
  const cases: [raw: Record<string, unknown>, message: string][] = [
    [
      serviceManifest({}, { name: undefined }),
      'Service shop/(no name): metadata.name is missing, must be the name of the object',
    ],
    [
      serviceManifest({}, { name: 'a"\nb' }),
      `Service shop/"a\\"\\nb": metadata.name is "a\\"\\nb", must be ${label}`,
    ],
    [
      serviceManifest({}, { namespace: 'Shop' }),
      `Service cart: metadata.namespace is "Shop", must be ${label}`,
    ],
    [
      serviceManifest({}, {}, { metadata: 'cart' }),
      'Service default/(no name): metadata is "cart", must be an object; metadata.name is missing, must be the name of the object',
    ],
    [
      serviceManifest({}, { annotations: { 'penstock.io/retries': 3 } }),
      'Service shop/cart: metadata.annotations[penstock.io/retries] is 3, must be a string (put it in quotes)',
    ],
    [
      serviceManifest({}, {}, { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'x' }] } } }),
      'Service shop/cart: status.loadBalancer.ingress[0].ipMode is "x", must be one of VIP, Proxy',
    ],
    [
      serviceManifest({}, {}, { spec: null }),
      'Service shop/cart: spec is missing, must be an object; spec.ports is missing, must be a list of at least one port',
    ],
  ];
  for (const [raw, message] of cases) t.equal(verdict(raw), message);
});

t.test('all faults of a Service are told, but not without end', async (t) => {
  const both = verdict(serviceManifest({ type: 'x', clusterIP: 'y' }));
  t.match(both, /spec\.type is "x".*; spec\.clusterIP is "y"/);
  const many = verdict(serviceManifest({ externalIPs: new Array(5000).fill(1) }));
  t.match(many, /externalIPs\[9\].*; and 4990 more$/);
  t.ok(many.length < 1500);
});

t.test('bad items are left out with a warning', async (t) => {
  const result = parseObject(
    serviceManifest(
      {
        externalIPs: ['', 'x', '192.0.2.1', '127.0.0.1', '169.254.1.1', '224.0.0.1', '::'],
        loadBalancerSourceRanges: ['10.0.0.1', '10.0.0.0/8', 'fd00::/129'],
      },
      { creationTimestamp: 'yesterday' },
      { status: { loadBalancer: { ingress: [{ ip: 'y' }, { ip: '0.0.0.0' }, { ip: '192.0.2.2' }] } } },
    ),
  );
  const service = result.type === 'object' ? (result.object as Service) : undefined;
  t.strictSame(service?.externalIPs, ['192.0.2.1']);
  t.strictSame(service?.loadBalancerSourceRanges, ['10.0.0.0/8']);
  t.strictSame(service?.loadBalancerIngress, [{ ip: '192.0.2.2', ipMode: 'VIP' }]);
  t.equal(service?.created, undefined);
  const warnings = warningsOf(result);
  const start = 'Service shop/cart: ';
  t.strictSame(warnings, [
    `${start}metadata.creationTimestamp is "yesterday", which is no RFC 3339 time; it is ignored`,
    `${start}spec.externalIPs[1] is "x", which is no IP address; this entry is skipped`,
    `${start}spec.externalIPs[3] is "127.0.0.1", which is a loopback address; this entry is skipped`,
    `${start}spec.externalIPs[4] is "169.254.1.1", which is a link-local address; this entry is skipped`,
    `${start}spec.externalIPs[5] is "224.0.0.1", which is a multicast address; this entry is skipped`,
    `${start}spec.externalIPs[6] is "::", which is the unspecified address; this entry is skipped`,
    `${start}status.loadBalancer.ingress[0].ip is "y", which is no IP address; this entry is skipped`,
    `${start}status.loadBalancer.ingress[1].ip is "0.0.0.0", which is the unspecified address; this entry is skipped`,
    `${start}spec.loadBalancerSourceRanges[0] is "10.0.0.1", which is no CIDR such as 192.0.2.0/24; this entry is skipped`,
    `${start}spec.loadBalancerSourceRanges[2] is "fd00::/129", which is no CIDR such as 192.0.2.0/24; this entry is skipped`,
  ]);
});

t.test('no Service has an address that is for something else, in whatever role', async (t) => {
  const cases: [address: string, kind: string][] = [
    ['0.0.0.0', 'the unspecified address'],
    ['0.0.0.1', 'an address of "this network" (0.0.0.0/8)'],
    ['127.8.8.8', 'a loopback address'],
    ['224.0.0.5', 'a multicast address'],
    ['239.255.255.255', 'a multicast address'],
    ['240.0.0.1', 'a reserved address (240.0.0.0/4)'],
    ['255.255.255.255', 'the broadcast address'],
    ['169.254.169.254', 'an address at which clouds serve metadata and credentials'],
    ['::', 'the unspecified address'],
    ['::1', 'a loopback address'],
    ['ff02::1', 'a multicast address'],
    ['fd00:ec2::254', 'an address at which clouds serve metadata and credentials'],
  ];
  for (const [address, kind] of cases) {
    const status = { loadBalancer: { ingress: [{ ip: address }] } };
    const written = serviceManifest({ externalIPs: [address] }, {}, { status });
    const result = parseObject(written, { writtenBy: 'person' });
    const asExternal = address.startsWith('169.254.') ? 'a link-local address' : kind;
    t.strictSame(warningsOf(result), [
      `Service shop/cart: spec.externalIPs[0] is "${address}", which is ${asExternal}; this entry is skipped`,
      `Service shop/cart: status.loadBalancer.ingress[0].ip is "${address}", which is ${kind}; this entry is skipped`,
    ]);
    if (result.type === 'object' && result.object.kind === 'Service')
      t.strictSame([result.object.externalIPs, result.object.loadBalancerIngress], [[], []]);
    t.equal(
      verdict(serviceManifest({ clusterIP: address }), { writtenBy: 'person' }),
      `Service shop/cart: spec.clusterIP is "${address}", must be an address that can be served, not ${kind}`,
    );
  }
});

t.test('legal addresses next to those are served', async (t) => {
  for (const address of [
    '1.0.0.1',
    '126.0.0.1',
    '128.0.0.1',
    '169.253.1.1',
    '223.255.255.255',
    '100.64.0.1',
    'fd00:ec3::1',
  ]) {
    const status = { loadBalancer: { ingress: [{ ip: address }] } };
    const written = serviceManifest({ externalIPs: [address] }, {}, { status });
    const result = parseObject(written, { writtenBy: 'person' });
    t.strictSame(warningsOf(result), [], address);
    t.equal(verdict(serviceManifest({ clusterIP: address })), 'object');
  }
});

t.test('ipFamilies of a Service without a cluster IP count, however that is written', async (t) => {
  const ports = [{ port: 80, nodePort: 30080 }];
  for (const clusterIP of [undefined, '', null])
    for (const clusterIPs of [undefined, [], ['']]) {
      const spec = { type: 'NodePort', clusterIP, clusterIPs, ipFamilies: ['IPv6'], ports };
      t.strictSame(parse(serviceManifest(spec)).ipFamilies, ['IPv6'], JSON.stringify(spec));
    }
  t.equal(parse(serviceManifest({ ipFamilies: ['IPv4'] })).ipFamilies, undefined, 'the address tells');
});

t.test('a fault of ipFamilies is told once', async (t) => {
  const bare = (ipFamilies: unknown) =>
    verdict(serviceManifest({ clusterIP: undefined, externalIPs: ['192.0.2.1'], ipFamilies }));
  t.equal(bare('IPv4'), 'Service shop/cart: spec.ipFamilies is "IPv4", must be a list');
  t.equal(bare([4]), 'Service shop/cart: spec.ipFamilies[0] is 4, must be a string (put it in quotes)');
  t.equal(
    bare(['IPv4', 'ipv6']),
    'Service shop/cart: spec.ipFamilies[1] is "ipv6", must be one of IPv4, IPv6',
  );
  t.match(bare(['IPv4', 'IPv4']), /must be a list without repetition$/);
});

t.test('240.0.0.0/4 of an API server is served: clusters are built with it', async (t) => {
  const status = { loadBalancer: { ingress: [{ ip: '240.0.0.2' }] } };
  const spec = { clusterIP: '240.1.0.1', externalIPs: ['240.0.0.1'] };
  const service = parse(serviceManifest(spec, {}, { status }));
  t.same(service.clusterIPs, { IPv4: '240.1.0.1' });
  t.same(service.loadBalancerIngress, [{ ip: '240.0.0.2', ipMode: 'VIP' }]);
  t.same(service.externalIPs, [], 'but not what whoever may write a Service asks for');
  const slice = parseObject(
    sliceManifest({ endpoints: [{ addresses: ['240.2.0.1'] }, { addresses: ['255.255.255.255'] }] }),
  );
  t.same(
    slice.type === 'object' &&
      slice.object.kind === 'EndpointSlice' &&
      slice.object.endpoints.map((e) => e.address),
    ['240.2.0.1'],
  );
});

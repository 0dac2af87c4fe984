/** MetalLB's objects as its documentation writes them, and what is wrong with others. */
import fc from 'fast-check';
import t from 'tap';
import { parse } from 'yaml';
import { parseCommunityText } from '../../../../src/balancer/objects/communities.js';
import { anySelects, selects } from '../../../../src/balancer/objects/LabelSelector.js';
import { parseAnnouncing } from '../../../../src/balancer/objects/parseAnnouncing.js';

function read(kind: string, spec: string, version = 'v1beta1') {
  return parseAnnouncing({
    apiVersion: `metallb.io/${version}`,
    kind,
    metadata: { name: 'x', namespace: 'metallb-system' },
    spec: parse(spec),
  });
}

function objectOf(kind: string, spec: string, version?: string) {
  const result = read(kind, spec, version);
  if (result.type !== 'object') throw new Error(JSON.stringify(result));
  return result.object;
}

function fault(kind: string, spec: string, version?: string): string {
  const result = read(kind, spec, version);
  return result.type === 'invalid' ? result.problem.message : JSON.stringify(result);
}

t.test('an L2Advertisement', async (t) => {
  t.match(objectOf('L2Advertisement', '{}'), {
    pools: [],
    poolSelectors: [],
    nodeSelectors: [],
    interfaces: [],
  });
  const object = objectOf(
    'L2Advertisement',
    `
ipAddressPools: [first-pool]
ipAddressPoolSelectors: [{ matchLabels: { zone: east } }]
nodeSelectors:
- matchLabels: { kubernetes.io/hostname: NodeA }
- matchExpressions: [{ key: rack, operator: NotIn, values: [r1] }]
interfaces: [eth0, eth1]`,
  );
  t.match(object, { kind: 'L2Advertisement', pools: ['first-pool'], interfaces: ['eth0', 'eth1'] });
  if (object.kind !== 'L2Advertisement') throw new Error('another kind');
  t.ok(anySelects(object.nodeSelectors, { 'kubernetes.io/hostname': 'NodeA', rack: 'r1' }));
  t.ok(anySelects(object.nodeSelectors, { rack: 'r2' }));
  t.notOk(anySelects(object.nodeSelectors, { rack: 'r1' }));
});

t.test('a BGPPeer', async (t) => {
  t.match(objectOf('BGPPeer', '{ myASN: 64500, peerASN: 64501, peerAddress: 10.0.0.1 }', 'v1beta2'), {
    myAsn: 64_500,
    peerAsn: 64_501,
    address: '10.0.0.1',
    port: 179,
    holdTime: 90,
    keepaliveTime: undefined,
    gracefulRestart: false,
    password: '',
  });
  t.match(
    objectOf(
      'BGPPeer',
      `
myASN: 4200000001
dynamicASN: external
peerAddress: fd00::1
sourceAddress: fd00::2
peerPort: 1179
holdTime: 30s
keepaliveTime: 10s
connectTime: 5s
routerID: 10.10.10.10
passwordSecret: { name: secret }
bfdProfile: fast
enableGracefulRestart: true
ebgpMultiHop: true`,
      'v1beta2',
    ),
    {
      myAsn: 4_200_000_001,
      peerAsn: 'external',
      holdTime: 30,
      connectTime: 5,
      passwordSecret: 'secret',
      multiHop: true,
    },
  );
  for (const [spec, message] of [
    ['{}', /spec.peerAddress is missing.*myASN is missing.*peerASN is missing/],
    ['{ myASN: 1, peerASN: 2, peerAddress: x }', /spec.peerAddress is "x", must be an IP address/],
    [
      '{ myASN: 1, peerASN: 2, peerAddress: 10.0.0.1, sourceAddress: "fd00::1" }',
      /sourceAddress .*of the family of 10.0.0.1/,
    ],
    [
      '{ myASN: 1, peerASN: 2, peerAddress: 10.0.0.1, holdTime: 2s }',
      /holdTime .*must be 0s, or 3s and more/,
    ],
    ['{ myASN: 1, peerASN: 2, peerAddress: 10.0.0.1, holdTime: 90ms }', /whole seconds/],
    [
      '{ myASN: 1, peerASN: 2, peerAddress: 10.0.0.1, holdTime: 9s, keepaliveTime: 9s }',
      /shorter than the hold time/,
    ],
    [
      '{ myASN: 1, peerASN: 2, dynamicASN: internal, peerAddress: 10.0.0.1 }',
      /dynamicASN .*left out where peerASN/,
    ],
    ['{ myASN: 1, peerASN: 2, interface: eth0 }', /sessions without an address are not made/],
    ['{ myASN: 1, peerASN: 2, peerAddress: 10.0.0.1, vrf: red }', /another VRF/],
    ['{ myASN: 4294967296, peerASN: 2, peerAddress: 10.0.0.1 }', /myASN is 4294967296/],
    ['{ myASN: 1, peerASN: 2, peerAddress: 10.0.0.1, routerID: "fd00::1" }', /routerID .*an IPv4 address/],
  ] as const)
    t.match(fault('BGPPeer', spec, 'v1beta2'), message);
  const secret =
    '{ myASN: 1, peerASN: 2, peerAddress: 10.0.0.1, password: topsecret, passwordSecret: { name: s } }';
  t.notMatch(fault('BGPPeer', secret, 'v1beta2'), /topsecret/, 'no message tells a password');
});

t.test('BGPAdvertisement, BFDProfile and Community', async (t) => {
  t.match(objectOf('BGPAdvertisement', '{}'), {
    aggregationLength: { IPv4: 32, IPv6: 128 },
    localPref: undefined,
  });
  t.match(
    objectOf(
      'BGPAdvertisement',
      '{ aggregationLength: 24, localPref: 100, communities: ["65535:65282", vpn], peers: [a] }',
    ),
    {
      aggregationLength: { IPv4: 24, IPv6: 128 },
      localPref: 100,
      communities: ['65535:65282', 'vpn'],
      peers: ['a'],
    },
  );
  t.match(fault('BGPAdvertisement', '{ aggregationLength: 33 }'), /aggregationLength is 33, must be 1 to 32/);
  t.match(objectOf('BFDProfile', '{}'), { receiveInterval: 300, transmitInterval: 300, detectMultiplier: 3 });
  t.match(read('BFDProfile', '{ echoMode: true }'), { type: 'object', warnings: [{ message: /echoMode/ }] });
  t.match(fault('BFDProfile', '{ receiveInterval: 9 }'), /receiveInterval is 9/);
  const community = objectOf(
    'Community',
    '{ communities: [{ name: vpn, value: "64512:1234" }, { name: big, value: "large:1:2:3" }] }',
  );
  t.match(community.kind === 'Community' && [...community.values], [
    ['vpn', '64512:1234'],
    ['big', 'large:1:2:3'],
  ]);
  t.match(fault('Community', '{ communities: [{ name: vpn, value: x }] }'), /communities\[0\].value is "x"/);
});

t.test('other kinds and groups are left alone', async (t) => {
  for (const raw of [
    undefined,
    [],
    {},
    { kind: 'L2Advertisement' },
    { kind: 'L2Advertisement', apiVersion: 'example.com/v1' },
    { kind: 'Service', apiVersion: 'v1' },
    { kind: '__proto__', apiVersion: 'metallb.io/v1beta1' },
  ])
    t.same(parseAnnouncing(raw), { type: 'foreign' });
  t.match(parseAnnouncing({ kind: 'Community', apiVersion: 'metallb.io/v1beta1' }, 'a.yaml:7'), {
    type: 'invalid',
    problem: { where: 'a.yaml:7', message: /metadata.name is missing/ },
  });
});

t.test('anything may come in', async () => {
  const kind = fc.constantFrom('L2Advertisement', 'BGPAdvertisement', 'BGPPeer', 'BFDProfile', 'Community');
  const value = fc.anything({ maxDepth: 3 });
  const fields = [
    'nodeSelectors',
    'communities',
    'peerAddress',
    'holdTime',
    'passwordSecret',
    'interfaces',
    'myASN',
  ];
  const spec = fc.oneof(value, fc.dictionary(fc.constantFrom(...fields), value));
  fc.assert(
    fc.property(kind, spec, value, (kind, spec, metadata) => {
      parseAnnouncing({ kind, apiVersion: 'metallb.io/v1beta1', metadata, spec });
      parseAnnouncing({ kind, apiVersion: 'metallb.io/v1beta1', metadata: { name: 'x' }, spec });
    }),
    { numRuns: 1000 },
  );
});

t.test('communities', async (t) => {
  t.same(parseCommunityText('65535:0'), { type: 'standard', value: 0xffff_0000 });
  t.same(parseCommunityText('graceful-shutdown'), { type: 'standard', value: 0xffff_0000 });
  t.same(parseCommunityText('large:4294967295:0:1'), { type: 'large', values: [4_294_967_295, 0, 1] });
  for (const bad of [
    '',
    '1',
    '65536:1',
    '1:65536',
    'large:1:2',
    'large:4294967296:1:1',
    'constructor',
    '1:2:3',
  ])
    t.equal(parseCommunityText(bad), undefined, bad);
});

t.test('selectors', async (t) => {
  const selector = (
    key: string,
    operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
    ...values: string[]
  ) => ({
    requirements: [{ key, operator, values }],
  });
  t.ok(selects(selector('a', 'In', '1', '2'), { a: '2' }));
  t.notOk(selects(selector('a', 'In', '1'), {}));
  t.ok(selects(selector('a', 'NotIn', '1'), {}));
  t.notOk(selects(selector('a', 'Exists'), {}));
  t.ok(selects(selector('a', 'DoesNotExist'), {}));
  t.notOk(selects(selector('constructor', 'Exists'), {}), 'only own labels');
});

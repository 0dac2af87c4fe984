import t from 'tap';
import type { EndpointSlice } from '../../../../src/objects/EndpointSlice.js';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import { sliceManifest, verdict, warningsOf } from '../samples.js';

function parse(raw: unknown): EndpointSlice {
  const result = parseObject(raw);
  if (result.type !== 'object' || result.object.kind !== 'EndpointSlice') throw new Error(verdict(raw));
  return result.object;
}

t.test('conditions that are not given mean a serving endpoint', async (t) => {
  t.strictSame(parse(sliceManifest()), {
    kind: 'EndpointSlice',
    namespace: 'shop',
    name: 'cart-x7k2p',
    serviceName: 'cart',
    family: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    endpoints: [
      {
        address: '10.1.0.5',
        nodeName: 'node1',
        ready: true,
        serving: true,
        terminating: false,
        zoneHints: [],
        nodeHints: [],
      },
    ],
    triggerTime: undefined,
  });
});

t.test('every used field is read', async (t) => {
  const annotations = {
    'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-02T03:04:05.123456789Z',
  };
  const slice = parse(
    sliceManifest(
      {
        addressType: 'IPv6',
        ports: [{ name: '', protocol: 'UDP', port: 53 }],
        endpoints: [
          {
            addresses: ['FD00::0:5', 'fd00::6'],
            conditions: { ready: false, serving: true, terminating: true },
            hints: { forZones: [{ name: 'a' }, { name: 'b' }], forNodes: [{ name: 'node1' }] },
          },
        ],
      },
      { annotations, labels: { 'kubernetes.io/service-name': 'cart' } },
    ),
  );
  t.equal(slice.family, 'IPv6');
  t.equal(slice.triggerTime, Date.UTC(2026, 0, 2, 3, 4, 5, 123));
  t.strictSame(slice.ports, [{ name: '', protocol: 'UDP', port: 53 }]);
  t.strictSame(slice.endpoints, [
    {
      address: 'fd00::5',
      nodeName: '',
      ready: false,
      serving: true,
      terminating: true,
      zoneHints: ['a', 'b'],
      nodeHints: ['node1'],
    },
  ]);
});

t.test('null lists are empty lists', async (t) => {
  const slice = parse(sliceManifest({ ports: null, endpoints: null }));
  t.strictSame([slice.ports, slice.endpoints], [[], []]);
});

t.test('items that cannot be used are left out with a warning', async (t) => {
  const cases: [name: string, fields: Record<string, unknown>, warning: string | undefined][] = [
    ['no address', { endpoints: [{ addresses: [] }] }, undefined],
    ['addresses null', { endpoints: [{}] }, undefined],
    ...(
      [
        ['IPv4', 'x', 'no IPv4 address'],
        ['IPv4', 'fd00::1', 'no IPv4 address'],
        ['IPv6', '10.0.0.1', 'no IPv6 address'],
        ['IPv6', '::ffff:127.0.0.1', 'no IPv6 address'],
        ['IPv4', '127.1.2.3', 'a loopback address'],
        ['IPv6', '::1', 'a loopback address'],
        ['IPv4', '169.254.169.254', 'a link-local address'],
        ['IPv6', 'fe80::1', 'a link-local address'],
        ['IPv6', 'febf::1', 'a link-local address'],
        ['IPv4', '239.1.2.3', 'a multicast address'],
        ['IPv6', 'ff02::1', 'a multicast address'],
        ['IPv4', '0.0.0.0', 'the unspecified address'],
        ['IPv6', '0:0::0', 'the unspecified address'],
        ['IPv4', '0.0.0.1', 'an address of "this network" (0.0.0.0/8)'],
        ['IPv4', '0.255.255.255', 'an address of "this network" (0.0.0.0/8)'],
        ['IPv4', '240.0.0.1', 'a reserved address (240.0.0.0/4)'],
        ['IPv4', '255.255.255.254', 'a reserved address (240.0.0.0/4)'],
        ['IPv4', '255.255.255.255', 'the broadcast address'],
        ['IPv6', 'fd00:ec2::254', 'an address at which clouds serve metadata and credentials'],
      ] as const
    ).map(
      ([addressType, address, kind]) =>
        [
          address,
          { addressType, endpoints: [{ addresses: [address] }] },
          `endpoints[0].addresses[0] is "${address}", which is ${kind}; this endpoint is skipped`,
        ] as [string, Record<string, unknown>, string],
    ),
  ];
  for (const [name, fields, warning] of cases) {
    const result = parseObject(sliceManifest(fields), { writtenBy: 'person' });
    t.strictSame(
      result.type === 'object' && 'endpoints' in result.object && result.object.endpoints,
      [],
      name,
    );
    t.strictSame(warningsOf(result), warning ? [`EndpointSlice shop/cart-x7k2p: ${warning}`] : [], name);
  }
  t.strictSame(
    parse(sliceManifest({ endpoints: [{ addresses: ['x'] }, { addresses: ['10.1.0.6'] }] })).endpoints.map(
      (endpoint) => endpoint.address,
    ),
    ['10.1.0.6'],
    'the other endpoints stay',
  );
});

t.test('addresses next to the refused ranges are good', async (t) => {
  for (const address of ['126.255.255.255', '128.0.0.1', '169.253.0.1', '223.255.255.255', '1.0.0.0'])
    t.equal(parse(sliceManifest({ endpoints: [{ addresses: [address] }] })).endpoints.length, 1, address);
  for (const address of ['::2', 'fec0::1', 'fe7f::1', 'fe8::1', 'ff::1', '::ff02']) {
    const fields = { addressType: 'IPv6', endpoints: [{ addresses: [address] }] };
    t.equal(parse(sliceManifest(fields)).endpoints.length, 1, address);
  }
});

t.test(
  'a port without a name has the name of the unnamed port; one without a number is left out',
  async (t) => {
    const fields = { ports: [{ port: 1 }, { name: 'a' }, { name: 'b', port: 0 }, { name: 'c', port: 3 }] };
    t.strictSame(parse(sliceManifest(fields)).ports, [
      { name: '', protocol: 'TCP', port: 1 },
      { name: 'c', protocol: 'TCP', port: 3 },
    ]);
    const start = 'EndpointSlice shop/cart-x7k2p: ';
    t.strictSame(warningsOf(parseObject(sliceManifest(fields))), [
      `${start}ports[1].port is missing, and there is no "all ports"; this port is skipped`,
      `${start}ports[2].port is 0, and there is no "all ports"; this port is skipped`,
    ]);
  },
);

t.test('a slice of no Service is legal, and none of ours', async (t) => {
  const labels: Record<string, unknown>[] = [
    {},
    { 'kubernetes.io/service-name': '' },
    { 'kubernetes.io/service-name': 'Not_A_Service.Name' },
    { 'multicluster.kubernetes.io/service-name': 'web' },
  ];
  for (const each of labels) {
    for (const ports of [null, [], [{ name: '' }], [{ name: 'a', port: 70000 }]]) {
      const raw = sliceManifest({ ports }, { labels: each });
      for (const options of [{}, { writtenBy: 'person' as const }]) {
        const result = parseObject(raw, options);
        t.equal(result.type, 'ignored');
        t.strictSame(warningsOf(result), []);
      }
    }
  }
  t.equal(parseObject(sliceManifest({}, { labels: undefined })).type, 'ignored');
});

t.test('faults set the slice aside', async (t) => {
  const cases: [raw: Record<string, unknown>, message: string][] = [
    [sliceManifest({ addressType: undefined }), 'addressType is missing, must be one of IPv4, IPv6'],
    [sliceManifest({ ports: [{ name: 'a', port: 70000 }] }), 'ports[0].port is 70000, must be 0 to 65535'],
    [
      sliceManifest({ ports: [{ name: 'a', port: 1, protocol: 'ICMP' }] }),
      'ports[0].protocol is "ICMP", must be one of TCP, UDP, SCTP',
    ],
    [
      sliceManifest({ endpoints: [{ addresses: ['10.1.0.5'], conditions: { ready: 'yes' } }] }),
      'endpoints[0].conditions.ready is "yes", must be true or false',
    ],
    [
      sliceManifest({ endpoints: [{ addresses: '10.1.0.5' }] }),
      'endpoints[0].addresses is "10.1.0.5", must be a list',
    ],
    [
      sliceManifest({ endpoints: [{ addresses: ['10.1.0.5'], nodeName: 7 }] }),
      'endpoints[0].nodeName is 7, must be a string (put it in quotes)',
    ],
    [
      sliceManifest({ endpoints: [{ addresses: ['10.1.0.5'], hints: { forZones: ['a'] } }] }),
      'endpoints[0].hints.forZones[0] is "a", must be an object',
    ],
  ];
  for (const [raw, message] of cases) t.equal(verdict(raw), `EndpointSlice shop/cart-x7k2p: ${message}`);
});

t.test('slices that are none of ours', async (t) => {
  const labels = { 'service.kubernetes.io/headless': '', 'kubernetes.io/service-name': 'cart' };
  const headless = parseObject(sliceManifest({}, { labels }));
  t.strictSame([headless.type, warningsOf(headless)], ['ignored', []]);
  const named = parseObject(sliceManifest({ addressType: 'FQDN' }));
  t.strictSame([named.type, warningsOf(named)], ['ignored', []], 'legal, if not of use here');
  const unknown = parseObject(sliceManifest({ addressType: 'IPv9' }));
  t.strictSame(warningsOf(unknown), [
    'EndpointSlice shop/cart-x7k2p: addressType is "IPv9", only IPv4 and IPv6 can be routed; the slice is ignored',
  ]);
});

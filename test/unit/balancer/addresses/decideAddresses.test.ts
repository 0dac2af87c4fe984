/** What a Service gets: pools, requests, sharing, both families, thieves. Each row: objects, then who has what. */
import t from 'tap';
import { AddressBook, type AddressBookOptions } from '../../../../src/balancer/addresses/AddressBook.js';
import { parsePool } from '../../../../src/balancer/addresses/AddressPool.js';
import { readRequest } from '../../../../src/balancer/addresses/ServiceRequest.js';
import { parseIp } from '../../../../src/net/ip.js';

interface Given {
  readonly pools?: Readonly<Record<string, object>>;
  readonly services: Readonly<Record<string, object>>;
  readonly owners?: Readonly<Record<string, string>>;
  readonly namespaces?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly options?: Partial<AddressBookOptions>;
}

export function pool(name: string, spec: object): object {
  return {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { name, namespace: 'lb' },
    spec,
  };
}

export function service(
  path: string,
  { spec = {}, metadata = {}, status = {} }: Record<string, object> = {},
): object {
  const [namespace, name] = path.split('/');
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace, name, resourceVersion: '1', ...metadata },
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.9',
      ipFamilies: ['IPv4'],
      ports: [{ port: 80 }],
      ...spec,
    },
    status,
  };
}

function bookOf({ pools = {}, services, owners = {}, namespaces = {}, options = {} }: Given): AddressBook {
  const book = new AddressBook({
    isDefault: true,
    loadBalancerClass: 'penstock.io/load-balancer',
    ...options,
  });
  for (const [name, spec] of Object.entries(pools)) {
    const result = parsePool(pool(name, spec));
    if (result.type !== 'pool') throw new Error(JSON.stringify(result));
    book.setPool(result.pool);
  }
  for (const [address, owner] of Object.entries(owners)) {
    const ip = parseIp(address);
    if (ip) book.setOwner(ip, owner);
  }
  for (const [name, labels] of Object.entries(namespaces)) book.setNamespace(name, labels);
  for (const [path, parts] of Object.entries(services)) {
    const request = readRequest(service(path, parts as Record<string, object>));
    if (request) book.setService(request);
  }
  return book;
}

/** `a/b` → addresses, or the reason. */
function outcome(given: Given): Record<string, string> {
  const book = bookOf(given);
  book.decide();
  return Object.fromEntries(
    Object.keys(given.services).map((path) => {
      const decision = book.decisionOf(path);
      if (decision === undefined) return [path, 'left alone'];
      return [path, decision.type === 'assigned' ? decision.addresses.join(' ') : decision.why];
    }),
  );
}

const annotations = (key: string, value: string) => ({ metadata: { annotations: { [key]: value } } });
const had = (...ips: readonly string[]) => ({
  status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
});
const LAN = { lan: { addresses: ['192.0.2.10-192.0.2.12'] } };

const CASES: readonly (readonly [string, Given, Record<string, string>])[] = [
  [
    'the first free address, the oldest Service first',
    {
      pools: LAN,
      services: {
        'a/young': { metadata: { creationTimestamp: '2026-02-01T00:00:00Z' } },
        'a/old': { metadata: { creationTimestamp: '2026-01-01T00:00:00Z' } },
      },
    },
    { 'a/young': '192.0.2.11', 'a/old': '192.0.2.10' },
  ],
  [
    'who has an address keeps it, however young',
    {
      pools: LAN,
      services: {
        'a/old': { metadata: { creationTimestamp: '2020-01-01T00:00:00Z' } },
        'a/young': { metadata: { creationTimestamp: '2026-01-01T00:00:00Z' }, ...had('192.0.2.10') },
      },
    },
    { 'a/old': '192.0.2.11', 'a/young': '192.0.2.10' },
  ],
  [
    'a pool that is used up',
    { pools: { one: { addresses: ['192.0.2.7'] } }, services: { 'a/a': {}, 'a/b': {} } },
    { 'a/a': '192.0.2.7', 'a/b': 'no address of IPv4 is free in one' },
  ],
  [
    'an address by annotation, of MetalLB and our own, and by the old field',
    {
      pools: LAN,
      services: {
        'a/a': annotations('metallb.io/loadBalancerIPs', '192.0.2.12'),
        'a/b': annotations('penstock.io/load-balancer-ips', '192.0.2.11'),
        'a/c': { spec: { loadBalancerIP: '192.0.2.10' } },
      },
    },
    { 'a/a': '192.0.2.12', 'a/b': '192.0.2.11', 'a/c': '192.0.2.10' },
  ],
  [
    'a thief: a stranger, a node, a cluster IP, another Service, no pool',
    {
      pools: LAN,
      owners: { '192.0.2.10': 'the node node1' },
      services: {
        'a/owner': { ...annotations('metallb.io/loadBalancerIPs', '192.0.2.11'), ...had('192.0.2.11') },
        'a/node': annotations('metallb.io/loadBalancerIPs', '192.0.2.10'),
        'a/other': annotations('metallb.io/loadBalancerIPs', '192.0.2.11'),
        'a/nowhere': annotations('metallb.io/loadBalancerIPs', '198.51.100.1'),
        'a/words': annotations('metallb.io/loadBalancerIPs', 'any'),
      },
    },
    {
      'a/owner': '192.0.2.11',
      'a/node': '192.0.2.10 belongs to the node node1',
      'a/other': '192.0.2.11 belongs to a/owner',
      'a/nowhere': '198.51.100.1 is in no pool',
      'a/words': '"any" is no IP address',
    },
  ],
  [
    'an address of a node is never given',
    { pools: LAN, owners: { '192.0.2.10': 'the node node1' }, services: { 'a/a': {} } },
    { 'a/a': '192.0.2.11' },
  ],
  [
    'both families from one pool, or what there is',
    {
      pools: {
        four: { addresses: ['192.0.2.10-192.0.2.12'] },
        six: { addresses: ['2001:db8::/126'] },
        both: { addresses: ['198.51.100.0/30', '2001:db8:1::/126'], avoidBuggyIPs: true },
      },
      services: {
        'a/dual': { spec: { ipFamilies: ['IPv6', 'IPv4'], ipFamilyPolicy: 'RequireDualStack' } },
        'a/four': {
          ...annotations('metallb.io/address-pool', 'four'),
          spec: { ipFamilies: ['IPv4', 'IPv6'] },
        },
        'a/must': {
          ...annotations('metallb.io/address-pool', 'four'),
          spec: { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'RequireDualStack' },
        },
      },
    },
    {
      'a/dual': '2001:db8:1::1 198.51.100.1',
      'a/four': '192.0.2.10',
      'a/must': 'no address of IPv6 is free in four',
    },
  ],
  [
    'sharing: one key, other ports',
    {
      pools: LAN,
      services: {
        'a/web': { ...annotations('metallb.io/allow-shared-ip', 'x'), spec: { ports: [{ port: 80 }] } },
        'a/tls': { ...annotations('metallb.io/allow-shared-ip', 'x'), spec: { ports: [{ port: 443 }] } },
        'a/web2': { ...annotations('metallb.io/allow-shared-ip', 'x'), spec: { ports: [{ port: 80 }] } },
        'a/dns': {
          ...annotations('metallb.io/allow-shared-ip', 'x'),
          spec: { ports: [{ port: 80, protocol: 'UDP' }] },
        },
      },
    },
    { 'a/web': '192.0.2.10', 'a/tls': '192.0.2.10', 'a/web2': '192.0.2.11', 'a/dns': '192.0.2.10' },
  ],
  [
    'pools for some namespaces and Services, by name, label and priority',
    {
      pools: {
        shop: { addresses: ['192.0.2.1'], serviceAllocation: { namespaces: ['shop'] } },
        gold: {
          addresses: ['192.0.2.2'],
          serviceAllocation: { namespaceSelectors: [{ matchLabels: { tier: 'gold' } }] },
        },
        web: {
          addresses: ['192.0.2.3'],
          serviceAllocation: { priority: 5, serviceSelectors: [{ matchLabels: { app: 'web' } }] },
        },
        rest: { addresses: ['192.0.2.64/30'] },
        silent: { addresses: ['192.0.2.99'], autoAssign: false },
      },
      namespaces: { rich: { tier: 'gold' } },
      services: {
        'shop/a': {},
        'rich/b': {},
        'other/c': { metadata: { labels: { app: 'web' } } },
        'other/d': {},
        'other/e': annotations('metallb.io/address-pool', 'silent'),
        'other/f': annotations('metallb.io/address-pool', 'shop'),
        'other/g': annotations('metallb.io/address-pool', 'nowhere'),
      },
    },
    {
      'shop/a': '192.0.2.1',
      'rich/b': '192.0.2.2',
      'other/c': '192.0.2.3',
      'other/d': '192.0.2.64',
      'other/e': '192.0.2.99',
      'other/f': 'no pool allows Services of this namespace and with these labels: shop',
      'other/g': 'there is no pool "nowhere"; there are shop, gold, web, rest, silent',
    },
  ],
  [
    'classes: ours, none, others',
    {
      pools: LAN,
      services: {
        'a/ours': { spec: { loadBalancerClass: 'penstock.io/load-balancer' } },
        'a/none': {},
        'a/cloud': { spec: { loadBalancerClass: 'cloud.example/lb' } },
        'a/type': { spec: { type: 'NodePort' } },
        'a/dying': { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } },
      },
    },
    {
      'a/none': '192.0.2.10',
      'a/ours': '192.0.2.11',
      'a/cloud': 'left alone',
      'a/type': 'left alone',
      'a/dying': 'left alone',
    },
  ],
  [
    'only the class',
    { pools: LAN, options: { isDefault: false }, services: { 'a/none': {} } },
    { 'a/none': 'left alone' },
  ],
];

for (const [name, given, expected] of CASES) {
  t.test(name, async (t) => {
    t.same(outcome(given), expected);
    const backwards = Object.fromEntries(Object.entries(given.services).reverse());
    t.same(outcome({ ...given, services: backwards }), expected, 'in whatever order the objects come');
  });
}

t.test('what becomes free goes to who waits; nobody else moves', async (t) => {
  const book = bookOf({ pools: { one: { addresses: ['192.0.2.7'] } }, services: { 'a/a': {}, 'a/b': {} } });
  book.decide();
  book.removeService('a/a');
  const writes = book.decide().writes;
  t.same(
    writes.map(({ service: { name }, addresses }) => [name, addresses]),
    [['b', ['192.0.2.7']]],
  );
});

t.test('a pool that goes takes its addresses back; one that comes serves who waits', async (t) => {
  const book = bookOf({ pools: LAN, services: { 'a/a': had('192.0.2.10') } });
  t.same(book.decide().writes, [], 'what is right is not written');
  book.removePool('IPAddressPool lb/lan');
  t.same(book.decide().writes, [], 'it may come back under another name');
  book.forgetPool('IPAddressPool lb/lan');
  const [write] = book.decide().writes;
  t.same(write?.addresses, []);
  t.match(write?.decision, { type: 'refused', why: /there is no pool/ });
});

t.test('ten thousand Services and addresses take a second, not a minute', async (t) => {
  const services = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`a/s${i}`, {}]));
  const book = bookOf({ pools: { big: { addresses: ['10.0.0.0/16'] } }, services });
  let steps = 0;
  const writes = book.decide().writes;
  for (const { addresses } of writes) steps += addresses.length;
  t.equal(steps, 10_000);
  t.equal(new Set(writes.flatMap(({ addresses }) => addresses)).size, 10_000, 'each its own');
});

t.test('pools that are wrong say why', async (t) => {
  const why = (spec: object) => {
    const result = parsePool(pool('p', spec));
    return result.type === 'invalid' ? result.problem.message : result.type;
  };
  t.match(why({}), /spec\.addresses is missing/);
  t.match(why({ addresses: ['10.0.0.9-10.0.0.1'] }), /must be a CIDR or FIRST-LAST/);
  t.match(why({ addresses: ['10.0.0.1-fd00::1'] }), /must be a CIDR or FIRST-LAST/);
  for (const text of [
    '10.0.0.1-10.0.0',
    '10.0.0.1-',
    '10.0.0.1-x',
    '10.0.0.1-10.0.0.5-10.0.0.9',
    '-',
    '10.0.0.0/33',
  ])
    t.match(why({ addresses: [text] }), /must be a CIDR or FIRST-LAST/, text);
  t.match(why({ addresses: 'x', autoAssign: 'no' }), /spec\.autoAssign/);
  t.equal(why({ addresses: ['10.0.0.1 - 10.0.0.9', 'fd00::/64', '10.1.0.0/16'] }), 'pool');
  t.equal(parsePool({ apiVersion: 'v1', kind: 'Service' }).type, 'foreign');
  t.equal(parsePool(null).type, 'foreign');
});

t.test(
  'the first address of an IPv6 network is of all that forward there: only who has it keeps it',
  async (t) => {
    const V6 = { spec: { ipFamilies: ['IPv6'] } };
    const asks = (ip: string) => ({ ...V6, ...annotations('metallb.io/loadBalancerIPs', ip) });
    for (const [range, next, first] of [
      ['2001:db8::/64', '2001:db8::1', '2001:db8::'],
      ['2001:db8::/48', '2001:db8::1', '2001:db8:0:1::'],
      ['2001:db8::-2001:db8::9', '2001:db8::1', '2001:db8::'],
      ['2001:db8::10:0/112', '2001:db8::10:1', '2001:db8::10:0'],
    ] as const) {
      const given = {
        pools: { p: { addresses: [range] } },
        services: { 'a/new': V6, 'a/asks': asks(first) },
      };
      t.match(
        outcome(given),
        { 'a/new': next, 'a/asks': `${first} is the subnet-router anycast address` },
        range,
      );
      t.same(outcome({ ...given, services: { 'a/old': { ...V6, ...had(first) } } }), { 'a/old': first });
      t.same(outcome({ ...given, services: { 'a/old': { ...asks(first), ...had(first) } } }), {
        'a/old': first,
      });
    }
    for (const alone of ['2001:db8::/128', '2001:db8::/127'])
      t.same(
        outcome({ pools: { p: { addresses: [alone] } }, services: { 'a/new': V6 } }),
        { 'a/new': '2001:db8::' },
        alone,
      );
  },
);

t.test('a pool of addresses that no Service can have is set aside: its tries would be millions', (t) => {
  for (const [range, why] of [
    ['127.0.0.0/8', 'a loopback address'],
    ['0.0.0.0/0', 'the unspecified address'],
    ['223.0.0.0-224.0.0.9', 'a multicast address'],
    ['::/0', 'the unspecified address'],
    ['ff0e::/16', 'a multicast address'],
    ['126.255.255.254-128.0.0.5', 'a loopback address'],
    ['169.254.168.254-169.254.171.5', 'a link-local address'],
    ['169.253.255.254-169.254.0.1', 'a link-local address'],
    ['fe80::10-fe80::20', 'a link-local address'],
    ['fe7f::-fe80::1', 'a link-local address'],
    ['fd00:ec1::ffff-fd00:ec3::1', 'an address at which clouds serve'],
    ['192.0.2.0-255.255.255.255', 'a multicast address'],
    ['169.254.169.0/24', 'a link-local address'],
  ] as const) {
    const result = parsePool(pool('p', { addresses: ['192.0.2.0/24', range] }));
    t.equal(result.type, 'invalid', range);
    if (result.type === 'invalid')
      t.match(result.problem.message, `must be a range of addresses that Services can have: it has ${why}`);
  }
  for (const range of ['198.51.100.0/24', '240.0.0.0/24', 'fd00::/64', '2001:db8::1-2001:db8::9'])
    t.equal(parsePool(pool('p', { addresses: [range] })).type, 'pool', range);
  t.end();
});

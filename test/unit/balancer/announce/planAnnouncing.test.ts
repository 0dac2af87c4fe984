import t from 'tap';
import type { AddressPool } from '../../../../src/balancer/addresses/AddressPool.js';
import { AnnouncementObjects } from '../../../../src/balancer/announce/AnnouncementObjects.js';
import {
  type BalancedPort,
  type BalancedService,
  LoadBalancerServices,
} from '../../../../src/balancer/announce/LoadBalancerServices.js';
import { lanInterfaces, ownFacts, ownNode, ownRoles } from '../../../../src/balancer/announce/OwnNode.js';
import { planAnnouncing } from '../../../../src/balancer/announce/planAnnouncing.js';
import type { NetworkInterface } from '../../../../src/kernel/routes/InterfaceWatch.js';
import type { Cidr, IpAddress } from '../../../../src/net/ip.js';
import type { ObjectChange } from '../../../../src/objects/ApiObject.js';
import { EXCLUDE_LABEL } from '../../../../src/objects/Node.js';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import { RoutingTable } from '../../../../src/routing/RoutingTable.js';

const ip = (text: string) => text as IpAddress;

function nic(index: number, name: string, address: string, network: string): NetworkInterface {
  return {
    index,
    name,
    mac: Uint8Array.of(2, 0, 0, 0, 0, index),
    isUp: true,
    isLoopback: false,
    addresses: [{ address: ip(address), network: network as Cidr, isLinkLocal: false }],
  };
}

const NICS = [
  nic(2, 'eth0', '192.0.2.1', '192.0.2.0/24'),
  nic(3, 'eth1', '198.51.100.1', '198.51.100.0/24'),
  nic(9, 'cni0', '10.244.0.1', '10.244.0.0/24'),
];
const LANS = lanInterfaces(NICS, []);

function metallb(kind: string, name: string, spec: object, labels = {}): object {
  const apiVersion = kind === 'BGPPeer' ? 'metallb.io/v1beta2' : 'metallb.io/v1beta1';
  return { apiVersion, kind, metadata: { name, namespace: 'metallb-system', labels }, spec };
}

function objectsOf(...raw: readonly object[]): AnnouncementObjects {
  const objects = new AnnouncementObjects();
  for (const [i, each] of raw.entries()) objects.set(String(i), each);
  return objects;
}

const POOL = metallb('IPAddressPool', 'lan', { addresses: ['192.0.2.96/28'] }, { zone: 'a' });

const HTTP = { name: '', protocol: 'TCP', port: 80, nodes: { IPv4: ['node2'], IPv6: [] } } as const;

function service(
  more: Partial<Omit<BalancedService, 'ports'>> & { ports?: readonly Omit<BalancedPort, 'addresses'>[] } = {},
): BalancedService {
  const { ports = [HTTP], ...rest } = more;
  const addresses = rest.addresses ?? [ip('192.0.2.100')];
  return {
    path: 'shop/cart',
    labels: { app: 'cart' },
    options: {},
    addresses,
    held: new Map(),
    policy: 'Cluster',
    affinity: false,
    served: new Set(['IPv4']),
    ...rest,
    ports: ports.map((port) => ({ ...port, addresses })),
  };
}

function plan(
  objects: AnnouncementObjects,
  services: readonly BalancedService[],
  more: { twoTiers?: boolean; labels?: Record<string, string>; gonePools?: readonly AddressPool[] } = {},
) {
  const node = more.labels && {
    kind: 'Node' as const,
    name: 'node1',
    zone: '',
    addresses: [],
    podCIDRs: [],
    eligible: true,
    leave: false,
    labels: more.labels,
  };
  return planAnnouncing({
    gonePools: more.gonePools ?? [],
    services,
    objects,
    own: ownNode('node1', node, false),
    lans: LANS,
    twoTiers: more.twoTiers ?? false,
  });
}

t.test('which addresses of which pools', async (t) => {
  const wishesOf = (spec: object, more?: Parameters<typeof service>[0]) =>
    plan(objectsOf(POOL, metallb('L2Advertisement', 'ad', spec)), [service(more)]).wishes.length;
  t.equal(wishesOf({}), 1, 'neither names nor selectors: all');
  t.equal(wishesOf({ ipAddressPools: ['lan'] }), 1);
  t.equal(wishesOf({ ipAddressPools: ['other'] }), 0);
  t.equal(
    wishesOf({ ipAddressPools: ['other'], ipAddressPoolSelectors: [{ matchLabels: { zone: 'a' } }] }),
    1,
  );
  t.equal(wishesOf({ serviceSelectors: [{ matchLabels: { app: 'cart' } }] }), 1);
  t.equal(wishesOf({ serviceSelectors: [{ matchLabels: { app: 'other' } }] }), 0);
  t.equal(wishesOf({ ipAddressPools: ['lan'] }, { addresses: [ip('192.0.2.200')] }), 0, 'in no pool');
  t.equal(wishesOf({}, { addresses: [ip('192.0.2.200')] }), 0, 'in no pool, chosen or not');
  t.equal(wishesOf({}, { served: new Set() }), 0, 'without endpoints');
});

t.test('on which interfaces', async (t) => {
  const interfacesOf = (spec: object, address: string) =>
    plan(objectsOf(metallb('L2Advertisement', 'ad', spec)), [service({ addresses: [ip(address)] })]).wishes[0]
      ?.interfaces;
  t.same(interfacesOf({}, '192.0.2.100'), [2]);
  t.same(interfacesOf({}, '203.0.113.1'), [], 'on the network of none');
  t.same(interfacesOf({ interfaces: ['eth1'] }, '203.0.113.1'), [3], 'chosen by name');
  t.same(interfacesOf({ interfaces: ['eth9'] }, '192.0.2.100'), []);
  t.same(
    lanInterfaces(NICS, ['cni0']).map(({ index }) => index),
    [9],
    'the configuration chooses',
  );
  t.same(
    LANS.map(({ name }) => name),
    ['eth0', 'eth1'],
    'no container network',
  );
});

t.test('which nodes', async (t) => {
  const ads = objectsOf(metallb('L2Advertisement', 'ad', {}));
  const nodesOf = (twoTiers: boolean, ...services: readonly BalancedService[]) =>
    plan(ads, services, { twoTiers }).wishes[0]?.nodes;
  t.equal(nodesOf(false, service()), undefined, 'Cluster: any');
  t.same(nodesOf(false, service({ policy: 'Local' })), new Set(['node2']));
  t.equal(nodesOf(true, service({ policy: 'Local' })), undefined, 'two tiers: any');
  const other = service({
    path: 'shop/other',
    policy: 'Local',
    ports: [{ name: '', protocol: 'TCP', port: 81, nodes: { IPv4: ['node2', 'node3'], IPv6: [] } }],
  });
  t.same(
    nodesOf(false, service({ policy: 'Local' }), other),
    new Set(['node2']),
    'who has endpoints of both',
  );
  t.equal(
    plan(ads, [service({ options: { 'announce-from': 'node7' } })]).wishes[0]?.movedTo,
    'node7',
    'moved by the annotation',
  );
});

t.test('what this node says of itself', async (t) => {
  const ads = objectsOf(
    metallb('L2Advertisement', 'all', {}),
    metallb('L2Advertisement', 'west', {
      nodeSelectors: [{ matchLabels: { zone: 'west' } }],
      preferredNodeSelectors: [{ matchLabels: { fast: 'yes' } }],
      interfaces: ['eth1'],
    }),
  ).ofKind('L2Advertisement');
  const roles = (labels: Record<string, string>) => {
    const node = {
      kind: 'Node' as const,
      name: 'node1',
      zone: '',
      addresses: [],
      podCIDRs: [],
      eligible: true,
      leave: false,
      labels,
    };
    return Object.fromEntries(ownRoles(ownNode('node1', node, false), LANS, ads));
  };
  t.same(roles({}), { 'metallb-system/all': 'candidate' });
  t.same(roles({ zone: 'west' }), {
    'metallb-system/all': 'candidate',
    'metallb-system/west': 'candidate, any network',
  });
  t.match(roles({ zone: 'west', fast: 'yes' }), { 'metallb-system/west': 'preferred, any network' });
  t.same(roles({ [EXCLUDE_LABEL]: '' }), {}, 'excluded');
  const facts = ownFacts(LANS, new Map());
  t.match(facts, { address: '192.0.2.1', addresses: ['192.0.2.1', '198.51.100.1'] });
  t.same(facts.subnets, ['192.0.2.0/24', '198.51.100.0/24']);
});

t.test('routes', async (t) => {
  const objects = objectsOf(
    POOL,
    metallb('BGPPeer', 'tor', { myASN: 64500, peerASN: 64501, peerAddress: '192.0.2.254' }),
    metallb('BGPPeer', 'far', {
      myASN: 64500,
      peerASN: 64502,
      peerAddress: '192.0.2.253',
      nodeSelectors: [{ matchLabels: { zone: 'west' } }],
    }),
    metallb('BGPAdvertisement', 'ad', {
      ipAddressPools: ['lan'],
      aggregationLength: 28,
      localPref: 100,
      communities: ['65000:1', 'vip'],
    }),
    metallb('Community', 'names', { communities: [{ name: 'vip', value: 'large:1:2:3' }] }),
  );
  const two = [service(), service({ path: 'shop/b', addresses: [ip('192.0.2.101')] })];
  const { routes } = plan(objects, two);
  t.same(
    [...routes].map(([{ name }, of]) => [name, of]),
    [
      [
        'tor',
        [
          {
            prefix: '192.0.2.96/28',
            localPref: 100,
            communities: [
              { type: 'standard', value: 65000 * 65536 + 1 },
              { type: 'large', values: [1, 2, 3] },
            ],
          },
        ],
      ],
    ],
    'the aggregate once, to the routers of this node',
  );
  const local = [service({ policy: 'Local' })];
  t.same([...plan(objects, local).routes.values()], [[]], 'Local, endpoints elsewhere');
  t.equal([...plan(objects, local, { twoTiers: true }).routes.values()][0]?.length, 1);
  t.same([...plan(objects, two, { labels: { [EXCLUDE_LABEL]: '' } }).routes.values()], [[]], 'excluded');
});

t.test('why not', async (t) => {
  const reasonsOf = (objects: AnnouncementObjects, of: BalancedService, more = {}) =>
    plan(objects, [of], more).addresses.map(({ refusals, reasons }) =>
      [...refusals.map(({ why }) => why), ...reasons()].join(' '),
    )[0] ?? '';
  const ad = metallb('L2Advertisement', 'ad', { ipAddressPools: ['lan'] });
  t.equal(reasonsOf(objectsOf(POOL, ad), service()), '');
  t.match(reasonsOf(objectsOf(POOL), service()), 'there is no L2Advertisement and no BGPAdvertisement');
  t.match(
    reasonsOf(objectsOf(POOL, ad), service({ addresses: [ip('203.0.113.1')] })),
    'is in no IPAddressPool',
  );
  t.match(
    reasonsOf(objectsOf(POOL, metallb('L2Advertisement', 'ad', { ipAddressPools: ['x'] })), service()),
    'is of pool lan, and no L2Advertisement',
  );
  t.match(reasonsOf(objectsOf(POOL, ad), service({ served: new Set() })), 'no endpoint serves');
  t.match(reasonsOf(objectsOf(POOL, ad), service(), { labels: { [EXCLUDE_LABEL]: '' } }), EXCLUDE_LABEL);
  t.match(reasonsOf(objectsOf(POOL, ad), service({ policy: 'Local' })), 'these have: node2');
  t.match(
    reasonsOf(objectsOf(metallb('L2Advertisement', 'ad', {})), service({ addresses: [ip('203.0.113.1')] })),
    /no interface on the network of 203\.0\.113\.1 \(LANs here: eth0 192\.0\.2\.0\/24, eth1/,
  );
  t.match(
    reasonsOf(
      objectsOf(metallb('L2Advertisement', 'ad', { nodeSelectors: [{ matchLabels: { a: 'b' } }] })),
      service(),
    ),
    'selects node node1',
  );
  t.match(
    reasonsOf(objectsOf(metallb('BGPAdvertisement', 'ad', {})), service()),
    'no BGPPeer is for node node1',
  );
});

t.test('objects that turn bad, are doubled, or go', async (t) => {
  const objects = objectsOf(POOL);
  t.equal(objects.set('0', metallb('IPAddressPool', 'lan', { addresses: ['nonsense'] })), true);
  t.equal(objects.pools.length, 1);
  t.match(objects.problems(), [
    { subject: 'IPAddressPool metallb-system/lan', message: /its last good version stays in force/ },
  ]);
  objects.set('9', { ...POOL, apiVersion: 'penstock.io/v1alpha1', spec: { addresses: ['198.51.100.0/24'] } });
  t.match(objects.pools, [{ ranges: [{ first: 0xc6336400n }] }], 'ours comes before');
  objects.delete('9');
  objects.delete('0');
  t.same([objects.pools, objects.problems()], [[], []]);
  t.equal(objects.set('1', { kind: 'ConfigMap' }), false, 'none of these');
  t.equal(objects.set('1', metallb('L2Advertisement', 'x', { interfaces: 3 })), true);
  t.match(objects.problems(), [{ message: /it is set aside/ }]);
});

t.test('Services and the nodes of their endpoints', async (t) => {
  const table = new RoutingTable({
    nodeName: 'node1',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
  });
  const services = new LoadBalancerServices(table);
  const take = (...raw: readonly object[]) => {
    const batch = raw.flatMap((each): ObjectChange[] => {
      const result = parseObject(each, { writtenBy: 'person' });
      return result.type === 'object' ? [{ type: 'upsert', object: result.object }] : [];
    });
    t.equal(batch.length, raw.length);
    table.apply(batch);
    return services.take(batch);
  };
  const list = () => {
    table.commit();
    return services.list(() => undefined);
  };
  const rules = () =>
    table
      .servicePorts('IPv4')
      .get('shop/cart/TCP')
      ?.endpoints.cluster.map(({ target }) => target);
  const cart = (type = 'LoadBalancer') => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'cart',
      namespace: 'shop',
      annotations: { 'penstock.io/load-balancer-ips': '192.0.2.9, nonsense' },
    },
    spec: { type, clusterIP: '10.96.0.1', ports: [{ port: 80 }] },
  });
  const slice = (owner: string, conditions: readonly object[]) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 's', namespace: 'shop', labels: { 'kubernetes.io/service-name': owner } },
    addressType: 'IPv4',
    ports: [{ port: 8080 }],
    endpoints: conditions.map((each, i) => ({
      addresses: [`10.1.0.${i + 1}`],
      nodeName: `node${i + 1}`,
      conditions: each,
    })),
  });
  t.equal(take(slice('cart', [{}])), false, 'of a Service that nobody knows');
  t.equal(take(cart()), true);
  t.match(list(), [{ path: 'shop/cart', addresses: ['192.0.2.9'], ports: [{ nodes: { IPv4: ['node1'] } }] }]);
  t.equal(take(slice('other', [{}])), true, 'the slice leaves it');
  t.match(list(), [{ served: new Set() }]);
  const ending = { ready: false, serving: true, terminating: true };
  take(slice('cart', [{ ready: false }, ending]));
  t.same(list()[0]?.ports[0]?.nodes.IPv4, ['node2'], 'an ending one serves where none is ready');
  take(slice('cart', [{}, ending]));
  t.same(list()[0]?.ports[0]?.nodes.IPv4, ['node1']);
  // Of two slices with one endpoint the same counts as in the rules: a node that is announced must not drop.
  take({ ...slice('cart', [{ ready: false }]), metadata: { ...slice('cart', []).metadata, name: 't' } });
  t.same([list()[0]?.ports[0]?.nodes.IPv4, rules()], [['node2'], ['10.1.0.2:8080']]);
  take({ ...slice('cart', [ending]), metadata: { ...slice('cart', []).metadata, name: 't' } });
  t.same([list()[0]?.ports[0]?.nodes.IPv4, rules()], [['node1'], ['10.1.0.1:8080']]);
  t.equal(take(cart('ClusterIP')), true);
  t.same(list(), []);
  t.equal(take(cart('ClusterIP')), false);
});

t.test('a pool that is given another name, in whichever order its objects come', async (t) => {
  const pool = (name: string, ...addresses: readonly string[]) =>
    metallb('IPAddressPool', name, { addresses });
  const ad = (...ipAddressPools: readonly string[]) => metallb('L2Advertisement', 'lan', { ipAddressPools });
  const other = pool('other', '203.0.113.0/24');
  const before = objectsOf(other, pool('b', '192.0.2.96/28'), ad('b'));
  const gone = before.pools.filter(({ name }) => name === 'b');
  for (const [what, objects, gonePools, announced] of [
    ['before', before, [], true],
    ['removed', objectsOf(other, ad('b')), gone, true],
    ['removed, the last pool', objectsOf(ad('b')), gone, true],
    ['removed, then made', objectsOf(other, pool('c', '192.0.2.96/28'), ad('b')), gone, true],
    ['and advertised', objectsOf(other, pool('c', '192.0.2.96/28'), ad('c')), gone, true],
    [
      'made before, in order',
      objectsOf(other, pool('b', '192.0.2.96/28'), pool('c', '192.0.2.96/28'), ad('b')),
      [],
      true,
    ],
    [
      'made before, and advertised',
      objectsOf(other, pool('b', '192.0.2.96/28'), pool('c', '192.0.2.96/28'), ad('c')),
      [],
      true,
    ],
    ['gone for a minute', objectsOf(other, ad('b')), [], false],
  ] as const) {
    const { wishes } = plan(objects, [service()], { gonePools });
    t.equal(wishes.length, announced ? 1 : 0, what);
  }
});

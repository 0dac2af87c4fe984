/** Services that ask for what belongs to somebody else: never announced, never in a slot of the tiers, and told whose it is. */
import t from 'tap';
import { AnnouncementObjects } from '../../../../src/balancer/announce/AnnouncementObjects.js';
import { LoadBalancerServices } from '../../../../src/balancer/announce/LoadBalancerServices.js';
import { lanInterfaces, nodeAddresses, ownNode } from '../../../../src/balancer/announce/OwnNode.js';
import { planAnnouncing } from '../../../../src/balancer/announce/planAnnouncing.js';
import { TierPlan } from '../../../../src/balancer/announce/TierPlan.js';
import type { NetworkInterface } from '../../../../src/kernel/routes/InterfaceWatch.js';
import type { Cidr, IpAddress } from '../../../../src/net/ip.js';
import type { ObjectChange } from '../../../../src/objects/ApiObject.js';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import { shopSlice } from '../../../support/shopObjects.js';

const ip = (text: string) => text as IpAddress;
const NIC: NetworkInterface = {
  index: 2,
  name: 'eth0',
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  isUp: true,
  isLoopback: false,
  addresses: [{ address: ip('192.0.2.1'), network: '192.0.2.0/24' as Cidr, isLinkLocal: false }],
};
const OTHER_NODE = {
  name: 'node2',
  address: ip('192.0.2.2'),
  addresses: [ip('192.0.2.2'), ip('2001:db8::2')],
  fresh: false,
  macs: [],
  subnets: [],
  advertises: undefined,
};

function world() {
  const table = new RoutingTable({
    nodeName: 'node1',
    serviceProxyName: '',
    fallbackAddresses: { IPv4: ip('192.0.2.1') },
    fixedAddresses: {},
  });
  const services = new LoadBalancerServices(table);
  const objects = new AnnouncementObjects();
  const metallb = (kind: string, spec: object) => ({
    apiVersion: 'metallb.io/v1beta1',
    kind,
    metadata: { name: 'lan', namespace: 'metallb-system' },
    spec,
  });
  objects.set(
    '1',
    metallb('IPAddressPool', { addresses: ['192.0.2.0/25', '10.96.0.0/24', '2001:db8::/64'] }),
  );
  objects.set('2', metallb('L2Advertisement', {}));
  const own = ownNode('node1', undefined, false);
  const owners = nodeAddresses(own, [NIC], undefined, {
    members: new Map([['node2', OTHER_NODE]]),
    connected: true,
  });
  const tiers = new TierPlan();
  return {
    take(change: ObjectChange) {
      table.apply([change]);
      services.take([change]);
    },
    look() {
      const matters = services.committed(table.commit());
      const list = services.list((address) => owners.get(address));
      const { wishes, addresses } = planAnnouncing({
        services: list,
        objects,
        own,
        lans: lanInterfaces([NIC], []),
        twoTiers: true,
      });
      return {
        matters,
        announced: wishes.map(({ address }) => address),
        slots: tiers
          .services(list, { nodes: new Set(['node1']), taking: new Set(['node1']) }, 0)
          .map(({ address, port }) => `${address}:${port}`)
          .sort(),
        refusals: addresses.flatMap(({ refusals }) => refusals),
        shown: addresses.map(({ address, services }) => `${address} ${services.join(' ')}`),
      };
    },
  };
}

function service(
  name: string,
  address: string,
  more: { port?: number; created?: string; clusterIP?: string } = {},
) {
  const { port = 80, created, clusterIP } = more;
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'shop', ...(created ? { creationTimestamp: created } : {}) },
      spec: {
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        ...(clusterIP ? { clusterIP } : {}),
        ports: [{ port }],
      },
      status: { loadBalancer: { ingress: address === '' ? [] : [{ ip: address }] } },
    },
    ...(['IPv4', 'IPv6'] as const).map((family) =>
      shopSlice(name, family, [
        { addresses: [family === 'IPv4' ? '10.1.0.1' : 'fd00::1'], nodeName: 'node1' },
      ]),
    ),
  ].map((raw): ObjectChange => {
    const result = parseObject(raw);
    if (result.type !== 'object') throw new Error(JSON.stringify(result));
    return { type: 'upsert', object: result.object };
  });
}

const OLD = '2020-01-01T00:00:00Z';
const YOUNG = '2026-01-01T00:00:00Z';

/** What else there is, what the thief asks for, and what is said of it. */
const THIEVES: Readonly<
  Record<string, readonly [others: readonly ObjectChange[], address: string, why: RegExp]>
> = {
  'own address of this node': [[], '192.0.2.1', /^192\.0\.2\.1 is the own address of node node1/],
  'own address of another node, which may be dead': [[], '192.0.2.2', /own address of node node2/],
  'own IPv6 address of another node': [[], '2001:db8::2', /own address of node node2/],
  'address of an older Service': [
    service('cart', '192.0.2.100', { created: OLD }),
    '192.0.2.100',
    /^192\.0\.2\.100 TCP 80 already belongs to Service shop\/cart; /,
  ],
  'cluster IP of another Service': [
    service('cart', '', { clusterIP: '10.96.0.10', created: YOUNG }),
    '10.96.0.10',
    /belongs to Service shop\/cart as its cluster IP/,
  ],
  'cluster IP of another Service, on a port of its own': [
    service('cart', '', { clusterIP: '10.96.0.10', port: 81 }),
    '10.96.0.10',
    /10\.96\.0\.10 is the cluster IP of Service shop\/cart/,
  ],
  'address out of all pools': [[], '192.0.2.200', /^192\.0\.2\.200 is in no IPAddressPool/],
};

t.test('thieves', async (t) => {
  for (const [what, [others, address, why]] of Object.entries(THIEVES))
    for (const order of ['first', 'last'] as const) {
      const { take, look } = world();
      // The name comes first, the creation does not.
      const thief = service('a-thief', address, { created: '2025-01-01T00:00:00Z' });
      for (const change of order === 'first' ? [...thief, ...others] : [...others, ...thief]) take(change);
      const seen = look();
      t.match(seen.refusals, [{ service: 'shop/a-thief', why }], `the ${what}, thief ${order}: told`);
      const honest = what.startsWith('address of') ? ['192.0.2.100'] : [];
      t.same(seen.announced, honest, `the ${what}, thief ${order}: announced`);
      if (!what.includes('pools'))
        t.same(
          seen.slots,
          honest.map((each) => `${each}:80`),
          `the ${what}, thief ${order}: slots`,
        );
      t.ok(
        seen.shown.some((text) => text.includes('shop/a-thief')),
        'lb why finds it',
      );
    }
});

t.test('an address changes hands', async (t) => {
  const { take, look } = world();
  for (const change of service('cart', '192.0.2.100', { created: OLD })) take(change);
  t.equal(look().matters, true, 'a Service with an address comes');
  for (const change of service('heir', '192.0.2.100', { created: YOUNG })) take(change);
  t.match(look().refusals, [{ service: 'shop/heir' }]);
  for (const change of service('heir', '192.0.2.100', { port: 81 })) take(change);
  const shared = look();
  t.same(shared.refusals, [], 'another port may share the address');
  t.same(shared.slots, ['192.0.2.100:80', '192.0.2.100:81']);
  for (const change of service('heir', '192.0.2.100', { created: YOUNG })) take(change);
  t.match(look().refusals, [{ service: 'shop/heir' }]);
  take({ type: 'delete', ref: { kind: 'Service', namespace: 'shop', name: 'cart' } });
  const after = look();
  t.equal(after.matters, true, 'the heir has it, though it did not change');
  t.same(after.refusals, []);
  t.same([after.announced, after.slots], [['192.0.2.100'], ['192.0.2.100:80']]);
});

t.test('what another proxy serves is not announced', async (t) => {
  const { take, look } = world();
  for (const change of service('cart', '192.0.2.100')) {
    const { type } = change;
    take(
      type === 'upsert' && change.object.kind === 'Service'
        ? { type, object: { ...change.object, proxyName: 'other' } }
        : change,
    );
  }
  const seen = look();
  t.same([seen.announced, seen.slots], [[], []]);
  t.match(seen.refusals, [{ why: /service-proxy-name/ }]);
});

/** One address and port belongs to one Service: the older one, in whatever order they arrive. */
import t from 'tap';
import type { Service } from '../../../src/objects/Service.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { VipClaims } from '../../../src/routing/VipClaims.js';
import { ip, port, remove, service, tableOf, upsert } from '../../support/builders.js';

const VIP = ip('1.2.3.4');
const cluster = (n: number) => ({ IPv4: ip(`10.96.0.${n}`) });

const oldest = service({ name: 'oldest', created: 1, clusterIPs: cluster(1), externalIPs: [VIP] });
const middle = service({
  name: 'middle',
  created: 2,
  type: 'LoadBalancer',
  clusterIPs: cluster(2),
  loadBalancerIngress: [{ ip: VIP, ipMode: 'VIP' }],
});
const timeless = service({ name: 'a-timeless', clusterIPs: cluster(3), externalIPs: [VIP] });

/** The Services that have the VIP in the table. */
function holders(table: RoutingTable): string[] {
  return [...table.servicePorts('IPv4').values()]
    .filter((p) => p.externalIPs.includes(VIP) || p.loadBalancerIPs.includes(VIP) || p.clusterIP === VIP)
    .map((p) => p.service);
}

function permutations<T>(list: readonly T[]): T[][] {
  if (list.length < 2) return [[...list]];
  return list.flatMap((item, i) => permutations(list.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}

t.test('the oldest wins in every order of arrival, and each next one when it goes', async (t) => {
  for (const order of permutations([oldest, middle, timeless])) {
    for (const eager of [true, false]) {
      const name = `${order.map((s) => s.name).join(', ')}${eager ? ', committed one by one' : ''}`;
      const table = tableOf([]);
      for (const object of order) {
        table.apply([upsert(object)]);
        if (eager) table.commit();
      }
      table.commit();
      t.same(holders(table), ['oldest'], name);
      for (const [gone, next] of [
        [oldest, ['middle']],
        [middle, ['a-timeless']],
        [timeless, []],
      ] as const) {
        table.apply([remove(gone)]);
        const changed = table.commit().families.IPv4.map((change) => change.key);
        t.same(holders(table), next, `${name}: ${gone.name} goes`);
        t.same(changed.sort(), [gone.name, ...next].map((n) => `shop/${n}/TCP`).sort());
      }
      t.same(table.problems(), []);
    }
  }
});

t.test('an older Service takes the VIP from a younger one', async (t) => {
  const table = tableOf([middle]);
  table.commit();
  t.same(holders(table), ['middle']);
  table.apply([upsert(oldest)]);
  const { IPv4 } = table.commit().families;
  t.same(holders(table), ['oldest']);
  t.same(IPv4.map((c) => c.key).sort(), ['shop/middle/TCP', 'shop/oldest/TCP']);
});

t.test('a Service that no longer asks for the VIP gives it up', async (t) => {
  const table = tableOf([oldest, middle]);
  table.commit();
  for (const change of [
    service({ ...oldest, externalIPs: [] }),
    service({ ...oldest, headless: true }),
    service({ ...oldest, proxyName: 'other' }),
    service({ ...oldest, ports: [port({ port: 81 })] }),
    service({ ...oldest, ports: [port({ protocol: 'UDP' })] }),
  ]) {
    table.apply([upsert(change)]);
    table.commit();
    t.same(holders(table).includes('middle'), true);
    table.apply([upsert(oldest)]);
    table.commit();
    t.same(holders(table), ['oldest']);
  }
});

t.test('equal ages: namespace and name decide', async (t) => {
  const b = service({ ...oldest, name: 'b', clusterIPs: cluster(4) });
  for (const order of permutations([oldest, b])) {
    const table = tableOf(order);
    table.commit();
    t.same(holders(table), ['b']);
  }
});

t.test('different ports or protocols do not compete', async (t) => {
  const others = [
    service({ ...oldest, name: 'p81', clusterIPs: cluster(5), ports: [port({ port: 81 })] }),
    service({ ...oldest, name: 'udp', clusterIPs: cluster(6), ports: [port({ protocol: 'UDP' })] }),
  ];
  const table = tableOf([oldest, ...others]);
  table.commit();
  t.same(holders(table).sort(), ['oldest', 'p81', 'udp']);
  t.same(table.problems(), []);
});

t.test('an external IP cannot take the cluster IP of an older Service', async (t) => {
  const thief = service({
    name: 'thief',
    created: 5,
    clusterIPs: cluster(7),
    externalIPs: [oldest.clusterIPs.IPv4 as typeof VIP],
  });
  const table = tableOf([thief, oldest]);
  table.commit();
  t.equal(table.servicePorts('IPv4').get('shop/oldest/TCP')?.clusterIP, '10.96.0.1');
  t.same(table.servicePorts('IPv4').get('shop/thief/TCP')?.externalIPs, []);
});

t.test('a loser keeps its other addresses', async (t) => {
  const loser = service({ ...middle, name: 'loser', clusterIPs: cluster(1), externalIPs: [ip('5.6.7.8')] });
  const table = tableOf([oldest, loser]);
  table.commit();
  const found = table.servicePorts('IPv4').get('shop/loser/TCP');
  t.equal(found?.clusterIP, undefined);
  t.same([found?.externalIPs, found?.loadBalancerIPs], [['5.6.7.8'], []]);
});

t.test('node ports: the older Service; within a Service the first port', async (t) => {
  const nodePorted = (name: string, fields: Partial<Service>): Service =>
    service({ name, type: 'NodePort', ports: [port({ nodePort: 30001 })], ...fields });
  const table = tableOf([
    nodePorted('young', { created: 9, clusterIPs: cluster(1) }),
    nodePorted('twice', {
      created: 3,
      clusterIPs: cluster(2),
      ports: [port({ name: 'a', nodePort: 30001 }), port({ name: 'b', port: 81, nodePort: 30001 })],
    }),
  ]);
  table.commit();
  const nodePorts = [...table.servicePorts('IPv4').values()].map((p) => [p.key, p.nodePort]).sort();
  t.same(nodePorts, [
    ['shop/twice:a/TCP', 30001],
    ['shop/twice:b/TCP', 0],
    ['shop/young/TCP', 0],
  ]);
  t.same(
    table
      .problems()
      .map((p) => `${p.subject}: ${p.message}`)
      .sort(),
    [
      'Service shop/twice: node port TCP 30001 already belongs to another port of it; this claim is ignored until that one goes',
      'Service shop/young: node port TCP 30001 already belongs to Service shop/twice; this claim is ignored until that one goes',
    ],
  );
});

t.test('problems name the loser, the address and the winner, once', async (t) => {
  // The loser asks for it twice, as external IP and from its load balancer.
  const loser = service({ ...middle, externalIPs: [VIP] });
  const table = tableOf([loser, oldest]);
  table.commit();
  const problem = {
    subject: 'Service shop/middle',
    message:
      '1.2.3.4 TCP 80 already belongs to Service shop/oldest; this claim is ignored until that one goes',
  };
  t.same(table.problems(), [problem]);
  table.apply([remove(oldest)]);
  table.commit();
  t.same(table.problems(), []);
});

t.test('VipClaims: a claim made twice is one, and goes at once', async (t) => {
  const claims = new VipClaims();
  const key = VipClaims.vipKey('1.2.3.4', 'TCP', 80);
  const claimant = { service: 'shop/cart', created: 1, portIndex: 0 };
  claims.add(key, claimant);
  claims.add(key, claimant);
  t.same(claims.claimants(key), [claimant]);
  claims.remove(key, 'shop/other');
  t.same(claims.owner(key), claimant);
  claims.remove(key, 'shop/cart');
  t.equal(claims.owner(key), undefined);
  t.same(claims.claimants(key), []);
});

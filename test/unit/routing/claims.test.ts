/** One address and port belongs to one Service: by rank, then the older one, in whatever order they arrive. */
import t from 'tap';
import type { Service } from '../../../src/objects/Service.js';
import { RANK, VipClaims } from '../../../src/routing/claims/VipClaims.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { ip, node, port, remove, service, serviceCIDR, tableOf, upsert } from '../../support/builders.js';

const VIP = ip('1.2.3.4');
const cluster = (n: number) => ({ IPv4: ip(`10.96.0.${n}`) });

const oldest = service({ name: 'oldest', created: 1, clusterIPs: cluster(1), externalIPs: [VIP] });
const middle = service({ name: 'middle', created: 2, clusterIPs: cluster(2), externalIPs: [VIP] });
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
  // The loser asks for it twice.
  const loser = service({ ...middle, externalIPs: [VIP, VIP] });
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
  const claimant = { service: 'shop/cart', rank: RANK.externalIP, created: 1, portIndex: 0 };
  claims.add(key, claimant);
  claims.add(key, claimant);
  t.same(claims.owner(key), claimant);
  claims.remove(key, 'shop/other', 0);
  t.same(claims.owner(key), claimant);
  claims.remove(key, 'shop/cart', 0);
  t.equal(claims.owner(key), undefined);
});

t.test('VipClaims: the better of two claims of one port counts, in both orders', async (t) => {
  const key = VipClaims.nodePortKey('TCP', 30080);
  const mine = { service: 'shop/cart', created: 2, portIndex: 0 };
  const other = { service: 'shop/a', rank: RANK.externalIP, created: 1, portIndex: 0 };
  for (const order of permutations([RANK.assigned, RANK.externalIP])) {
    const claims = new VipClaims();
    claims.add(key, other);
    for (const rank of order) claims.add(key, { ...mine, rank });
    t.equal(claims.owner(key)?.service, 'shop/cart');
    claims.remove(key, 'shop/cart', 0);
    t.same(claims.owner(key), other);
  }
});

/** What an older Service asks for, and what a younger one was given. */
t.test('rank comes before age', async (t) => {
  const address = ip('1.2.3.4');
  const claims: Record<string, Partial<Service>> = {
    clusterIP: { clusterIPs: { IPv4: address } },
    loadBalancerIP: { type: 'LoadBalancer', loadBalancerIngress: [{ ip: address, ipMode: 'VIP' }] },
    externalIP: { externalIPs: [address] },
  };
  const ranks = Object.keys(claims);
  for (const [i, better] of ranks.entries()) {
    for (const worse of ranks.slice(i + 1)) {
      const old = service({ name: 'old', created: 1, clusterIPs: cluster(1), ...claims[worse] });
      const young = service({ name: 'young', created: 9, clusterIPs: cluster(2), ...claims[better] });
      for (const order of permutations([old, young])) {
        const table = tableOf([]);
        for (const object of order) {
          table.apply([upsert(object)]);
          table.commit();
        }
        t.same(holders(table), ['young'], `${better} before ${worse}`);
        t.equal(table.problems().length, 1);
        table.apply([remove(young)]);
        table.commit();
        t.same(holders(table), ['old']);
      }
    }
  }
});

t.test("the cluster IP of a Service is nobody else's, on no port", async (t) => {
  const bank = service({ namespace: 'shop', name: 'bank', created: 9, clusterIPs: cluster(9) });
  const address = bank.clusterIPs.IPv4 as typeof VIP;
  const squat = service({
    name: 'squat',
    created: 1,
    clusterIPs: cluster(1),
    type: 'LoadBalancer',
    ports: [port({ port: 8443 })],
    externalIPs: [address, ip('5.6.7.8')],
    loadBalancerIngress: [{ ip: address, ipMode: 'VIP' }],
  });
  const table = tableOf([squat]);
  table.commit();
  const served = () => {
    const found = table.servicePorts('IPv4').get('shop/squat/TCP');
    return [found?.externalIPs, found?.loadBalancerIPs];
  };
  t.same(served(), [[address, '5.6.7.8'], [address]], 'nobody has it');
  table.apply([upsert(bank)]);
  t.same(
    table
      .commit()
      .families.IPv4.map((change) => change.key)
      .sort(),
    ['shop/bank/TCP', 'shop/squat/TCP'],
  );
  t.same(served(), [['5.6.7.8'], []]);
  t.match(table.problems(), [
    {
      subject: 'Service shop/squat',
      message: '10.96.0.9 TCP 8443 is not served: 10.96.0.9 is the cluster IP of Service shop/bank',
    },
  ]);
  table.apply([remove(bank)]);
  table.commit();
  t.same(served(), [[address, '5.6.7.8'], [address]], 'and nobody again');
  t.same(table.problems(), []);

  const own = service({ ...bank, externalIPs: [address] });
  table.apply([upsert(own), remove(squat)]);
  table.commit();
  t.same(table.servicePorts('IPv4').get('shop/bank/TCP')?.externalIPs, [address], "one's own is fine");
});

t.test('an external IP inside of a ServiceCIDR is not served, as long as the range is one', async (t) => {
  const greedy = service({ externalIPs: [ip('10.96.3.3'), VIP], created: 1 });
  const range = serviceCIDR('kubernetes', '10.96.0.0/16');
  const table = tableOf([greedy]);
  table.commit();
  const served = () => table.servicePorts('IPv4').get('shop/cart/TCP')?.externalIPs;
  t.same(served(), ['10.96.3.3', VIP]);
  table.apply([upsert(range)]);
  t.equal(table.commit().families.IPv4.length, 1);
  t.same(served(), [VIP]);
  t.match(table.problems(), [
    {
      subject: 'Service shop/cart',
      message: /names 10\.96\.3\.3, which lies in the ServiceCIDR 10\.96\.0\.0\/16.* not served/,
    },
  ]);
  table.apply([remove(range)]);
  table.commit();
  t.same(served(), ['10.96.3.3', VIP]);
  t.same(table.problems(), []);
});

t.test('an external IP on an address of this node does not take a node port', async (t) => {
  const own = ip('192.168.0.2');
  const shop = service({
    name: 'shop',
    created: 9,
    type: 'NodePort',
    clusterIPs: cluster(1),
    ports: [port({ nodePort: 30080 })],
  });
  const thief = service({
    name: 'thief',
    created: 1,
    clusterIPs: cluster(2),
    ports: [port({ port: 30080 })],
    externalIPs: [own, VIP],
  });
  for (const objects of permutations([shop, thief, node({ addresses: [own] })])) {
    const table = tableOf([]);
    for (const object of objects) {
      table.apply([upsert(object)]);
      table.commit();
    }
    const found = table.servicePorts('IPv4');
    t.same(found.get('shop/thief/TCP')?.externalIPs, [VIP]);
    t.equal(found.get('shop/shop/TCP')?.nodePort, 30080);
    t.match(table.problems(), [
      {
        subject: 'Service shop/thief',
        message: /^192\.168\.0\.2 TCP 30080 already belongs to Service shop\/shop as a node port/,
      },
    ]);
    table.apply([upsert(service({ ...shop, type: 'ClusterIP', ports: [port()] }))]);
    table.commit();
    t.same(found.get('shop/thief/TCP')?.externalIPs, [own, VIP]);
    table.apply([upsert(shop), upsert(node({ addresses: [ip('192.168.0.3')] }))]);
    table.commit();
    t.same(found.get('shop/thief/TCP')?.externalIPs, [own, VIP], 'the address is not of this node any more');
  }
});

t.test(
  'on addresses of this node load-balancer IPs and node ports go by age, and addresses are apart',
  async (t) => {
    const [inner, outer] = [ip('192.168.0.2'), ip('203.0.113.9')];
    const balanced = (name: string, created: number, address: typeof inner): Service =>
      service({
        name,
        created,
        type: 'LoadBalancer',
        clusterIPs: cluster(created),
        ports: [port({ port: 30080 })],
        loadBalancerIngress: [{ ip: address, ipMode: 'VIP' }],
      });
    const table = tableOf([
      node({ addresses: [inner, outer] }),
      balanced('a', 1, inner),
      balanced('b', 3, outer),
    ]);
    table.commit();
    const served = (name: string) => table.servicePorts('IPv4').get(`shop/${name}/TCP`)?.loadBalancerIPs;
    t.same([served('a'), served('b')], [[inner], [outer]]);
    const ported = service({
      name: 'ported',
      created: 2,
      type: 'NodePort',
      clusterIPs: cluster(2),
      ports: [port({ nodePort: 30080 })],
    });
    table.apply([upsert(ported)]);
    table.commit();
    t.same([served('a'), served('b')], [[inner], []], 'the younger one gives way');
    table.apply([remove(ported)]);
    table.commit();
    t.same(served('b'), [outer]);
  },
);

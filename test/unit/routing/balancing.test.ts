/** What the annotations of a Service make of its service ports. */
import t from 'tap';
import { UNWEIGHTED } from '../../../src/balancing/Balancing.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import { endpoint, ip, port, remove, service, slice, tableOf, upsert } from '../../support/builders.js';

const DUAL = { IPv4: ip('10.96.0.10'), IPv6: ip('fd00:96::10') };
const BAD_ALGORITHM = {
  subject: 'Service shop/cart',
  message:
    'metadata.annotations[penstock.io/algorithm] is "fastest", must be one of random, round-robin, ' +
    'least-connections, power-of-two, source-hash, maglev; until then it is random',
};

function balancingOf(table: RoutingTable, key = 'shop/cart/TCP', family: 'IPv4' | 'IPv6' = 'IPv4') {
  return table.servicePorts(family).get(key)?.balancing;
}

t.test('without annotations all service ports share one object', async (t) => {
  const table = tableOf([service(), service({ name: 'other', options: { retries: '3' } })]);
  table.commit();
  t.equal(balancingOf(table), UNWEIGHTED.random);
  t.equal(balancingOf(table, 'shop/other/TCP'), UNWEIGHTED.random);
});

t.test('the ports and families of a Service share what was read once', async (t) => {
  const options = { algorithm: 'round-robin', weights: '{"10.1.0.1": 3}' };
  const ports = [port({ name: 'a' }), port({ name: 'b', port: 81 })];
  const table = tableOf([service({ clusterIPs: DUAL, options, ports })]);
  table.commit();
  const first = balancingOf(table, 'shop/cart:a/TCP');
  t.equal(first?.algorithm, 'round-robin');
  t.strictSame([...(first?.weights ?? [])], [['10.1.0.1', 3]]);
  t.equal(balancingOf(table, 'shop/cart:b/TCP'), first);
  t.equal(balancingOf(table, 'shop/cart:b/TCP', 'IPv6'), first);
  table.apply([
    upsert(slice([endpoint('10.1.0.1')], { ports: [{ name: 'a', protocol: 'TCP', port: 8080 }] })),
  ]);
  t.equal(table.commit().families.IPv4.length, 1);
  t.equal(balancingOf(table, 'shop/cart:a/TCP'), first, 'a change of endpoints reads nothing again');
});

t.test('another annotation is a change, the same one is none', async (t) => {
  const weighted = (weight: number) => service({ options: { weights: `{"10.1.0.1": ${weight}}` } });
  const table = tableOf([weighted(3)]);
  table.commit();
  table.apply([upsert(weighted(3))]);
  t.equal(table.commit().families.IPv4.length, 0);
  table.apply([upsert(weighted(4))]);
  t.equal(table.commit().families.IPv4.length, 1);
  t.equal(balancingOf(table)?.weights.get(ip('10.1.0.1')), 4);
  table.apply([upsert(service())]);
  t.equal(table.commit().families.IPv4.length, 1);
  t.equal(balancingOf(table), UNWEIGHTED.random);
});

t.test('a bad annotation is a problem until it is gone, and the Service works', async (t) => {
  const bad = service({ clusterIPs: DUAL, options: { algorithm: 'fastest' } });
  const table = tableOf([bad]);
  t.same(table.problems(), [], 'nothing is committed');
  table.commit();
  t.same(table.problems(), [BAD_ALGORITHM], 'once, though there are two families');
  t.equal(balancingOf(table), UNWEIGHTED.random);
  table.apply([upsert(slice([endpoint('10.1.0.1')]))]);
  table.commit();
  t.same(table.problems(), [BAD_ALGORITHM], 'a change of endpoints solves nothing');
  table.apply([upsert(service({ options: { algorithm: 'maglev' } }))]);
  table.commit();
  t.same(table.problems(), []);
  table.apply([upsert(bad)]);
  table.commit();
  table.apply([remove(bad)]);
  table.commit();
  t.same(table.problems(), []);
});

t.test('nobody hears of annotations on Services that are not for this proxy', async (t) => {
  const options = { algorithm: 'fastest' };
  const variants = [{ proxyName: 'other' }, { type: 'ExternalName' }, { headless: true }] as const;
  for (const variant of variants) {
    const table = tableOf([service({ options, ...variant })]);
    table.commit();
    t.same(table.problems(), [], JSON.stringify(variant));
    table.apply([upsert(service({ options }))]);
    table.commit();
    t.same(table.problems(), [BAD_ALGORITHM]);
    table.apply([upsert(service({ options, ...variant }))]);
    table.commit();
    t.same(table.problems(), [], 'and no more');
  }
});

t.test('a node may have another algorithm for Services that name none', async (t) => {
  const table = tableOf(
    [
      service(),
      service({ name: 'wrong', options: { algorithm: 'fastest' } }),
      service({ name: 'drawn', options: { algorithm: 'random' } }),
    ],
    { algorithm: 'least-connections' },
  );
  table.commit();
  t.equal(balancingOf(table), UNWEIGHTED['least-connections']);
  t.equal(balancingOf(table, 'shop/wrong/TCP'), UNWEIGHTED['least-connections']);
  t.equal(balancingOf(table, 'shop/drawn/TCP'), UNWEIGHTED.random);
  const unread = table.problems().map(({ message }) => message);
  t.ok(unread.some((message) => message.endsWith('until then it is least-connections')));
});

/** Change sets: exactly what changed. And what the table knows of its node. */
import t from 'tap';
import { isEmpty } from '../../../src/routing/ChangeSet.js';
import { healthChecks } from '../../../src/routing/HealthChecks.js';
import type { RoutingOptions, RoutingTable } from '../../../src/routing/RoutingTable.js';
import {
  cidr,
  DEAD,
  endpoint,
  endpointPort,
  ip,
  node,
  port,
  remove,
  service,
  slice,
  tableOf,
  upsert,
} from '../../support/builders.js';

/** `+ key`, `- key` or `~ key` for each change of a commit. */
function commit(table: RoutingTable, family: 'IPv4' | 'IPv6' = 'IPv4'): string[] {
  return table
    .commit()
    .families[family].map(({ key, before, after }) => `${!before ? '+' : !after ? '-' : '~'} ${key}`)
    .sort();
}

const other = service({ name: 'other', clusterIPs: { IPv4: ip('10.96.0.11') } });
const KEY = 'shop/cart/TCP';

t.test('a Service comes, changes, goes', async (t) => {
  const table = tableOf([service(), other]);
  t.ok(table.hasPendingChanges);
  t.same(commit(table), ['+ shop/cart/TCP', '+ shop/other/TCP']);
  t.notOk(table.hasPendingChanges);
  t.same(commit(table), [], 'nothing happened');
  table.apply([upsert(service({ affinitySeconds: 60 }))]);
  t.same(commit(table), ['~ shop/cart/TCP']);
  table.apply([remove(service())]);
  t.same(commit(table), ['- shop/cart/TCP']);
  t.same([...table.servicePorts('IPv4').keys()], ['shop/other/TCP']);
});

t.test('ports of a Service come and go one by one', async (t) => {
  const [a, b] = [port({ name: 'a' }), port({ name: 'b', port: 81 })];
  const table = tableOf([service({ ports: [a] })]);
  commit(table);
  table.apply([upsert(service({ ports: [a, b] }))]);
  t.same(commit(table), ['+ shop/cart:b/TCP']);
  table.apply([upsert(service({ ports: [b, a] }))]);
  t.same(commit(table), [], 'their order means nothing');
  table.apply([upsert(service({ ports: [b] }))]);
  t.same(commit(table), ['- shop/cart:a/TCP']);
});

t.test('what changes within one commit and back again is no change', async (t) => {
  const table = tableOf([service()]);
  commit(table);
  table.apply([upsert(service({ affinitySeconds: 60 })), upsert(service())]);
  t.same(commit(table), []);
  table.apply([remove(service()), upsert(service())]);
  t.same(commit(table), []);
  table.apply([upsert(other), remove(other)]);
  t.same(commit(table), []);
});

t.test('equal objects change nothing, unknown ones neither', async (t) => {
  const table = tableOf([service(), slice([endpoint('10.1.0.1')])]);
  commit(table);
  const before = table.servicePorts('IPv4').get(KEY);
  table.apply([upsert(service()), upsert(slice([endpoint('10.1.0.1')]))]);
  t.ok(isEmpty(table.commit()));
  t.equal(table.servicePorts('IPv4').get(KEY), before, 'it is the same object still');
  table.apply([
    remove(other),
    remove(slice([], { name: 'unknown' })),
    upsert(slice([], { name: 'x', serviceName: 'x' })),
  ]);
  t.ok(isEmpty(table.commit()));
});

t.test('every field of a service port counts', async (t) => {
  const base = service({
    type: 'LoadBalancer',
    ports: [port({ nodePort: 30001 })],
    loadBalancerSourceRanges: [cidr('203.0.113.0/25')],
  });
  const variants: Parameters<typeof service>[0][] = [
    { clusterIPs: { IPv4: ip('10.96.0.12') } },
    { ports: [port({ port: 81, nodePort: 30001 })] },
    { ports: [port({ nodePort: 30002 })] },
    { externalIPs: [ip('1.2.3.4')] },
    { loadBalancerIngress: [{ ip: ip('1.2.3.4'), ipMode: 'VIP' }] },
    { loadBalancerSourceRanges: [cidr('203.0.113.0/26')] },
    { loadBalancerSourceRanges: [] },
    { internalTrafficPolicy: 'Local' },
    { externalTrafficPolicy: 'Local' },
    { affinitySeconds: 60 },
    { options: { algorithm: 'random' } },
    { externalTrafficPolicy: 'Local', healthCheckNodePort: 32000 },
  ];
  for (const variant of variants) {
    const table = tableOf([base]);
    commit(table);
    table.apply([upsert({ ...base, ...variant })]);
    t.same(commit(table), [`~ ${KEY}`], JSON.stringify(variant));
    table.apply([upsert(base)]);
    t.same(commit(table), [`~ ${KEY}`], `${JSON.stringify(variant)} taken back`);
  }
});

t.test('every field of an endpoint that somebody uses counts', async (t) => {
  const base = endpoint('10.1.0.1');
  const variants = [
    endpoint('10.1.0.2'),
    endpoint('10.1.0.1', { ready: false }),
    endpoint('10.1.0.1', { serving: false }),
    endpoint('10.1.0.1', { terminating: true }),
    endpoint('10.1.0.1', { nodeName: 'node1' }),
  ];
  for (const variant of variants) {
    const table = tableOf([service(), slice([base])]);
    commit(table);
    table.apply([upsert(slice([variant]))]);
    t.same(commit(table), [`~ ${KEY}`], JSON.stringify(variant));
  }
  const table = tableOf([service(), slice([base])]);
  commit(table);
  table.apply([upsert(slice([endpoint('10.1.0.1', { nodeName: 'node3', zoneHints: ['z9'] })]))]);
  t.same(commit(table), [], 'another foreign node and a hint that does not count are no change');
  table.apply([upsert(slice([base], { ports: [endpointPort({ port: 9090 })] }))]);
  t.same(commit(table), [`~ ${KEY}`], 'another port');
});

t.test('a change of one family is none of the other', async (t) => {
  const dual = service({ clusterIPs: { IPv4: ip('10.96.0.10'), IPv6: ip('fd00:96::10') } });
  const table = tableOf([dual]);
  table.commit();
  table.apply([upsert(slice([endpoint('fd00::1')], { family: 'IPv6' }))]);
  const { families } = table.commit();
  t.same([families.IPv4.length, families.IPv6.length], [0, 1]);
  table.apply([upsert(service())]);
  t.same(commit(table, 'IPv6'), [`- ${KEY}`], 'a family that goes');
});

t.test('a new zone changes the Services whose hints it concerns', async (t) => {
  const hinted = slice([
    endpoint('10.1.0.1', { zoneHints: ['z1'] }),
    endpoint('10.1.0.2', { zoneHints: ['z2'] }),
  ]);
  const table = tableOf([service(), other, hinted, node({ zone: 'z1' })]);
  commit(table);
  const cluster = () =>
    table
      .servicePorts('IPv4')
      .get(KEY)
      ?.endpoints.cluster.map((e) => e.address);
  t.same(cluster(), ['10.1.0.1']);
  table.apply([upsert(node({ zone: 'z2' }))]);
  t.same(commit(table), [`~ ${KEY}`]);
  t.same(cluster(), ['10.1.0.2']);
  table.apply([upsert(node({ zone: 'z2', podCIDRs: [cidr('10.1.0.0/24')] }))]);
  t.notOk(table.hasPendingChanges, 'what routing does not use');
  t.same(table.nodeObject?.podCIDRs, ['10.1.0.0/24'], 'but others can have it');
});

t.test('other Nodes are not ours, and the own one keeps its facts when it goes', async (t) => {
  const table = tableOf([service(), node({ zone: 'z1' })]);
  commit(table);
  table.apply([upsert(node({ name: 'node2', zone: 'z2' })), remove(node({ name: 'node2' })), remove(node())]);
  t.notOk(table.hasPendingChanges);
  t.equal(table.node.zone, 'z1');
});

t.test('the address of the node: fixed, else of the Node, else the fall-back', async (t) => {
  const [fixed, own, fallback] = [ip('1.1.1.1'), ip('2.2.2.2'), ip('3.3.3.3')];
  const cases: readonly [Partial<RoutingOptions>, boolean, string | undefined][] = [
    [{}, false, undefined],
    [{}, true, own],
    [{ fallbackAddresses: { IPv4: fallback } }, false, fallback],
    [{ fallbackAddresses: { IPv4: fallback } }, true, own],
    [{ fixedAddresses: { IPv4: fixed }, fallbackAddresses: { IPv4: fallback } }, true, fixed],
  ];
  for (const [options, hasNode, expected] of cases) {
    const table = tableOf(hasNode ? [node({ addresses: [ip('fd00::2'), own, ip('4.4.4.4')] })] : [], options);
    t.equal(table.node.addresses.IPv4, expected, JSON.stringify({ options, hasNode }));
  }
});

t.test('the fall-back may change, and counts while the Node names no address', async (t) => {
  const restricted = service({ type: 'LoadBalancer', loadBalancerSourceRanges: [cidr('192.168.0.0/24')] });
  const table = tableOf([restricted, other], { fallbackAddresses: { IPv4: ip('172.16.0.2') } });
  commit(table);
  table.setFallbackAddresses({ IPv4: ip('192.168.0.2') });
  t.same(commit(table), [`~ ${KEY}`]);
  t.equal(table.node.addresses.IPv4, '192.168.0.2');
  table.apply([upsert(node({ addresses: [ip('172.16.0.9')] }))]);
  commit(table);
  table.setFallbackAddresses({ IPv4: ip('192.168.0.3') });
  t.notOk(table.hasPendingChanges);
  t.equal(table.node.addresses.IPv4, '172.16.0.9');
});

t.test('without the feature gate AllowServiceExternalIPs there are no external IPs', async (t) => {
  const external = service({ externalIPs: [ip('192.0.2.80')] });
  for (const [externalIPs, expected] of [
    ['served', ['192.0.2.80']],
    ['ignored', []],
  ] as const) {
    const table = tableOf([external], { externalIPs });
    commit(table);
    t.same(table.servicePorts('IPv4').get(KEY)?.externalIPs, expected);
  }
});

t.test('a new node address changes who may use a restricted load balancer', async (t) => {
  const restricted = service({ type: 'LoadBalancer', loadBalancerSourceRanges: [cidr('192.168.0.0/24')] });
  const table = tableOf([restricted, other, node({ addresses: [ip('172.16.0.2')] })]);
  commit(table);
  table.apply([upsert(node({ addresses: [ip('192.168.0.2')] }))]);
  t.same(commit(table), [`~ ${KEY}`]);
  t.equal(table.servicePorts('IPv4').get(KEY)?.nodeInSourceRanges, true);
});

t.test('trigger times come with the next commit, once', async (t) => {
  const table = tableOf([service(), slice([endpoint('10.1.0.1')], { triggerTime: 1000 })]);
  table.apply([upsert(slice([endpoint('10.1.0.2')], { triggerTime: 2000 })), upsert(slice([]))]);
  t.same(table.commit().triggerTimes, [1000, 2000]);
  t.same(table.commit().triggerTimes, []);
});

t.test('however many changes wait for a commit, the times of the first are kept', async (t) => {
  const table = tableOf([service()]);
  for (let i = 0; i < 20_000; i++) table.apply([upsert(slice([], { triggerTime: i }))]);
  const { triggerTimes } = table.commit();
  t.equal(triggerTimes.length, 10_000);
  t.equal(triggerTimes[0], 0);
});

t.test('health checks count the addresses here that are ready, over all ports', async (t) => {
  const here = { nodeName: 'node1' };
  const table = tableOf([
    other,
    service({
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32000,
      ports: [port({ name: 'a' }), port({ name: 'b', port: 81 })],
    }),
    slice(
      [
        endpoint('10.1.0.1', here),
        endpoint('10.1.0.2', here),
        endpoint('10.1.0.3', { ...here, ...DEAD }),
        endpoint('10.1.0.4'),
      ],
      { ports: [endpointPort({ name: 'a' }), endpointPort({ name: 'b', port: 8081 })] },
    ),
  ]);
  table.commit();
  t.same(
    [...healthChecks(table.servicePorts('IPv4').values())],
    [['shop/cart', { namespace: 'shop', service: 'cart', port: 32000, localEndpoints: 2 }]],
  );
});

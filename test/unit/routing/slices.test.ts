/** Endpoints from EndpointSlices: several, overlapping, early, late, moving. */
import t from 'tap';
import type { IpFamily } from '../../../src/net/ip.js';
import type { RoutingTable } from '../../../src/routing/RoutingTable.js';
import {
  DEAD,
  endpoint,
  endpointPort,
  ip,
  remove,
  SERVING_TERMINATING,
  service,
  slice,
  tableOf,
  upsert,
} from '../../support/builders.js';

function targets(table: RoutingTable, name = 'cart', family: IpFamily = 'IPv4'): string[] {
  const found = table.servicePorts(family).get(`shop/${name}/TCP`);
  return found?.endpoints.all.map((e) => e.target) ?? [];
}

function committed(...objects: Parameters<typeof tableOf>[0]): RoutingTable {
  const table = tableOf(objects);
  table.commit();
  return table;
}

t.test('several slices add up, sorted by target as text', async (t) => {
  const table = committed(
    service(),
    slice([endpoint('10.1.0.9'), endpoint('10.1.0.10')], { name: 'z' }),
    slice([endpoint('10.1.0.2')], { name: 'a' }),
  );
  t.same(targets(table), ['10.1.0.10:8080', '10.1.0.2:8080', '10.1.0.9:8080']);
});

t.test('an endpoint in two slices is one', async (t) => {
  const terminating = endpoint('10.1.0.1', SERVING_TERMINATING);
  const ready = endpoint('10.1.0.1');
  const dead = endpoint('10.1.0.1', DEAD);
  const cases = [
    ['the one that is not terminating counts', [ready], [terminating], true],
    ['also when it comes later', [terminating], [ready], true],
    ['of two that are not terminating the later slice', [ready], [dead], false],
    ['within one slice too', [terminating, ready], [], true],
  ] as const;
  for (const [name, first, second, expected] of cases) {
    for (const order of [1, -1]) {
      const both = [slice(first, { name: 'a' }), slice(second, { name: 'b' })];
      const table = committed(service(), ...(order === 1 ? both : both.reverse()));
      const all = table.servicePorts('IPv4').get('shop/cart/TCP')?.endpoints.all;
      t.same(
        all?.map((e) => e.ready),
        [expected],
        `${name} (${order === 1 ? 'in order' : 'reversed'})`,
      );
    }
  }
});

t.test('an address that is here by one slice may be here by all', async (t) => {
  const here = endpoint('10.1.0.1', { nodeName: 'node1' });
  const elsewhere = endpoint('10.1.0.1', { nodeName: 'node2' });
  const open = endpoint('10.1.0.1', { nodeName: '' });
  const otherPort = { ports: [endpointPort({ port: 9090 })] };
  const cases = [
    [
      'the repetition that does not count',
      [slice([here], { name: 'a' }), slice([elsewhere], { name: 'b' })],
      [true],
    ],
    ['whatever the order', [slice([elsewhere], { name: 'a' }), slice([here], { name: 'b' })], [true]],
    ['within one slice', [slice([here, elsewhere])], [true]],
    [
      'on another port',
      [slice([here], { name: 'a' }), slice([elsewhere], { name: 'b', ...otherPort })],
      [true, true],
    ],
    ['nobody said where', [slice([open], { name: 'a' }), slice([elsewhere], { name: 'b' })], [true]],
    ['elsewhere by all', [slice([elsewhere], { name: 'a' }), slice([elsewhere], { name: 'b' })], [false]],
  ] as const;
  for (const [name, slices, expected] of cases) {
    const all = committed(service(), ...slices)
      .servicePorts('IPv4')
      .get('shop/cart/TCP')?.endpoints.all;
    t.same(
      all?.map((e) => e.mayBeHere),
      expected,
      name,
    );
  }
});

t.test('one address with two ports is two endpoints', async (t) => {
  const ports = [endpointPort({ port: 9090 }), endpointPort({ port: 8080 })];
  t.same(targets(committed(service(), slice([endpoint('10.1.0.1')], { ports }))), [
    '10.1.0.1:8080',
    '10.1.0.1:9090',
  ]);
});

t.test('slices of the other family, namespace, Service or protocol are not mixed in', async (t) => {
  const table = committed(
    service({ clusterIPs: { IPv4: ip('10.96.0.10'), IPv6: ip('fd00:96::10') } }),
    slice([endpoint('10.1.0.1')], { name: 'v4' }),
    slice([endpoint('fd00::1')], { name: 'v6', family: 'IPv6' }),
    slice([endpoint('10.1.0.2')], { name: 'namespace', namespace: 'other' }),
    slice([endpoint('10.1.0.3')], { name: 'service', serviceName: 'other' }),
    slice([endpoint('10.1.0.4')], { name: 'protocol', ports: [endpointPort({ protocol: 'UDP' })] }),
  );
  t.same(targets(table), ['10.1.0.1:8080']);
  t.same(targets(table, 'cart', 'IPv6'), ['[fd00::1]:8080']);
});

t.test('slices before their Service', async (t) => {
  const table = committed(slice([endpoint('10.1.0.1')]));
  t.equal(table.servicePorts('IPv4').size, 0);
  table.apply([upsert(service())]);
  table.commit();
  t.same(targets(table), ['10.1.0.1:8080']);
});

t.test('a Service that goes and comes back finds its slices', async (t) => {
  const table = committed(service(), slice([endpoint('10.1.0.1')]));
  table.apply([remove(service())]);
  table.commit();
  t.equal(table.servicePorts('IPv4').size, 0);
  table.apply([upsert(service())]);
  table.commit();
  t.same(targets(table), ['10.1.0.1:8080']);
});

t.test('a slice that changes its service label moves', async (t) => {
  const other = service({ name: 'other', clusterIPs: { IPv4: ip('10.96.0.11') } });
  const table = committed(service(), other, slice([endpoint('10.1.0.1')]));
  table.apply([upsert(slice([endpoint('10.1.0.1')], { serviceName: 'other' }))]);
  t.same(
    table
      .commit()
      .families.IPv4.map((c) => c.key)
      .sort(),
    ['shop/cart/TCP', 'shop/other/TCP'],
  );
  t.same([targets(table), targets(table, 'other')], [[], ['10.1.0.1:8080']]);
});

t.test('a slice that goes takes its endpoints with it, and no others', async (t) => {
  const a = slice([endpoint('10.1.0.1'), endpoint('10.1.0.2')], { name: 'a' });
  const b = slice([endpoint('10.1.0.2')], { name: 'b' });
  const table = committed(service(), a, b);
  table.apply([remove(a)]);
  table.commit();
  t.same(targets(table), ['10.1.0.2:8080']);
  table.apply([remove(b), remove(a)]);
  table.commit();
  t.same(targets(table), []);
});

t.test('local: only with the name of this node', async (t) => {
  const here = endpoint('10.1.0.1', { nodeName: 'node1' });
  const nowhere = endpoint('10.1.0.2', { nodeName: '' });
  const locals = (nodeName: string) => {
    const table = tableOf([service(), slice([here, nowhere])], { nodeName });
    table.commit();
    return table
      .servicePorts('IPv4')
      .get('shop/cart/TCP')
      ?.endpoints.all.map((e) => e.local);
  };
  t.same(locals('node1'), [true, false]);
  t.same(locals('node2'), [false, false]);
  t.same(locals(''), [false, false], 'a node without name has no local endpoints');
});

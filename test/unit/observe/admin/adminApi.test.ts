/** Lists in pages: each is made once, is whole whatever changes meanwhile, and is not kept. */
import t from 'tap';
import { worldOf } from '../../../../src/explain/worldOf.js';
import { AdminQuestion } from '../../../../src/observe/admin/AdminQuestion.js';
import { adminApi } from '../../../../src/observe/admin/adminApi.js';
import type { EndpointRow, ServiceRow } from '../../../../src/observe/admin/serviceRows.js';
import type { FlowRecord } from '../../../../src/observe/flows/FlowLog.js';
import { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import { endpoint, ip, service, slice, tableOf, upsert } from '../../../support/builders.js';

interface Page<Row> {
  readonly items: readonly Row[];
  readonly next: string;
}

const SERVICES = 1300;

function apiWorld() {
  const table = new RoutingTable({
    nodeName: 'node1',
    serviceProxyName: '',
    fallbackAddresses: {},
    fixedAddresses: {},
  });
  const add = (i: number) =>
    table.apply([
      upsert(service({ name: `s${i}`, clusterIPs: { IPv4: ip(`172.30.${i >> 8}.${i & 255}`) } })),
      upsert(slice([endpoint(`10.1.${i >> 8}.${i & 255}`)], { serviceName: `s${i}`, name: `s${i}-1` })),
    ]);
  for (let i = 0; i < SERVICES; i++) add(i);
  table.commit();
  let looks = 0;
  const counted = new Proxy(table, {
    get: (target, name) => {
      if (name === 'servicePorts') looks++;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const api = adminApi({
    mode: 'nftables',
    table: counted,
    world: () => t.fail() as never,
    rules: () => t.fail() as never,
    digest: () => undefined,
    problems: () => [],
    status: () => t.fail() as never,
    flows: { records: [], follow: () => () => {} },
    syncs: () => [],
    balancer: () => 'none',
  });
  const ask = async <Row>(path: string): Promise<Page<Row>> => {
    const answer = await api(new AdminQuestion(path));
    if (!('json' in answer)) throw new Error('no list');
    return answer.json as Page<Row>;
  };
  return { table, add, ask, looks: () => looks };
}

t.test('all pages of a list look at the table once', async (t) => {
  const { ask, looks } = apiWorld();
  for (const list of ['services', 'endpoints']) {
    const before = looks();
    const keys: string[] = [];
    let after = '';
    let pages = 0;
    do {
      const page = await ask<ServiceRow | EndpointRow>(`/v1/${list}?after=${encodeURIComponent(after)}`);
      keys.push(...page.items.map(({ key }) => key));
      after = page.next;
      pages++;
    } while (after !== '');
    t.equal(pages, 3);
    t.equal(keys.length, SERVICES);
    t.same(keys, [...new Set(keys)].sort(), 'each once, in order');
    t.equal(looks() - before, 2, 'once for each family');
  }
});

t.test('a list is as it was when it began; the next one is new', async (t) => {
  const { table, add, ask } = apiWorld();
  const first = await ask<ServiceRow>('/v1/services');
  add(SERVICES);
  table.apply([{ type: 'delete', ref: { kind: 'Service', namespace: 'shop', name: 's999' } }]);
  table.commit();
  let count = first.items.length;
  for (let { next } = first; next !== ''; ) {
    const page = await ask<ServiceRow>(`/v1/services?after=${encodeURIComponent(next)}`);
    count += page.items.length;
    next = page.next;
  }
  t.equal(count, SERVICES, 'neither torn nor mixed');
  const again = await ask<ServiceRow>('/v1/services');
  t.not(again.items, first.items);
  const last = await ask<ServiceRow>('/v1/services?after=shop%2Fs9990');
  t.notOk([...again.items, ...last.items].some(({ service: name }) => name === 'shop/s999'));
});

t.test('any word as a cursor', async (t) => {
  const { ask } = apiWorld();
  t.same(await ask('/v1/services?after=zzz'), { items: [], next: '' });
  t.equal((await ask('/v1/services?after=%00')).items.length, 500);
  t.same(await ask('/v1/endpoints?service=shop/nobody'), { items: [], next: '' });
  t.equal((await ask('/v1/endpoints?service=shop/s7')).items.length, 1);
});

t.test('explain adds the last failure of each kind of the endpoints of that service port', async (t) => {
  const table = tableOf([
    service({ name: 'cart', clusterIPs: { IPv4: ip('172.30.0.1') } }),
    slice([endpoint('10.1.0.1')], { serviceName: 'cart', name: 'cart-1' }),
  ]);
  table.commit();
  const record = (change: Partial<FlowRecord>): FlowRecord => ({
    number: 1,
    time: '2026-11-29T02:31:00.000Z',
    node: 'node1',
    reason: 'endpoint-silent',
    client: '10.9.0.1',
    clientPod: '',
    service: 'shop/cart',
    destination: '172.30.0.1',
    port: 80,
    protocol: 'TCP',
    endpoint: '10.1.0.1:8080',
    endpointPod: 'shop/cart-a',
    count: 1,
    ...change,
  });
  const records = [
    record({ time: '2026-11-29T01:00:00.000Z' }),
    record({}),
    record({ reason: 'endpoint-refused', endpointPod: '' }),
    record({ reason: 'no-endpoints' }),
    record({ service: 'shop/other', time: '2026-11-29T03:00:00.000Z' }),
  ];
  const api = adminApi({
    mode: 'nftables',
    table,
    world: () => worldOf(table, '', []),
    rules: () => ({
      mode: 'nftables',
      detectLocal: { type: 'None' },
      masqueradeAll: false,
      localhostNodePorts: true,
      nodePortAddresses: [],
    }),
    digest: () => undefined,
    problems: () => [],
    status: () => t.fail() as never,
    flows: { records, follow: () => () => {} },
    syncs: () => [],
    balancer: () => 'none',
  });
  const notes = async (to: string) => {
    const answer = await api(new AdminQuestion(`/v1/explain?client=10.9.0.1&to=${encodeURIComponent(to)}`));
    return 'json' in answer ? (answer.json as { readonly notes: readonly string[] }).notes : [];
  };
  const found = await notes('172.30.0.1:80');
  t.equal(found.length, 2);
  t.match(
    found[0],
    /^lately, at 2026-11-29 02:31:00 UTC, of shop\/cart-a \(10\.1\.0\.1:8080\): .*\[endpoint-silent\]\. Look/,
  );
  t.match(found[1], /of 10\.1\.0\.1:8080: .*\[endpoint-refused\]\. Look at the pod/);
  t.notOk((await notes('172.30.0.9:80')).some((note) => note.startsWith('lately')));
});

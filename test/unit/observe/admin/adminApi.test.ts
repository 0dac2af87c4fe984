/** Lists in pages: each is made once, is whole whatever changes meanwhile, and is not kept. */
import t from 'tap';
import { AdminQuestion } from '../../../../src/observe/admin/AdminQuestion.js';
import { adminApi } from '../../../../src/observe/admin/adminApi.js';
import type { EndpointRow, ServiceRow } from '../../../../src/observe/admin/serviceRows.js';
import { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import { endpoint, ip, service, slice, upsert } from '../../../support/builders.js';

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

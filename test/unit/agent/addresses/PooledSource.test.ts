/** Addresses out of the pools of a folder: the same on every node, whatever came first. */
import t from 'tap';
import { PooledSource } from '../../../../src/agent/addresses/PooledSource.js';
import type { ObjectSource, OtherObject, SourceListener } from '../../../../src/kubernetes/ObjectSource.js';
import { type ObjectChange, objectPath } from '../../../../src/objects/ApiObject.js';
import type { Problem } from '../../../../src/objects/Problem.js';
import { parseObject } from '../../../../src/objects/read/parseObject.js';
import type { Service } from '../../../../src/objects/Service.js';
import { ip } from '../../../support/builders.js';

function read(raw: object): ObjectChange {
  const result = parseObject(raw, { writtenBy: 'person' });
  if (result.type !== 'object') throw new Error(JSON.stringify(result));
  return { type: 'upsert', object: result.object };
}

function balanced(name: string, spec: object = {}, annotations: Record<string, string> = {}): ObjectChange {
  return read({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', annotations },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec },
  });
}

function pool(name: string, addresses: readonly string[], spec: object = {}): OtherObject {
  const raw = {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { name, namespace: 'metallb-system' },
    spec: { addresses, ...spec },
  };
  return { id: name, raw, where: 'pools.yaml' };
}

async function world() {
  let inner: SourceListener | undefined;
  const source: ObjectSource = {
    name: 'manifests x',
    start: async (listener) => {
      inner = listener;
    },
    stop: async () => {},
  };
  const services = new Map<string, Service>();
  let problems: readonly Problem[] = [];
  let told = 0;
  let lists = 0;
  const pooled = new PooledSource(source);
  await pooled.start({
    changes: (batch) => {
      for (const change of batch) {
        told++;
        if (change.type === 'delete') services.delete(objectPath(change.ref));
        else if (change.object.kind === 'Service') services.set(objectPath(change.object), change.object);
      }
    },
    complete: () => {},
    problems: (list) => {
      problems = list;
      lists++;
    },
  });
  return {
    send: (...batch: readonly ObjectChange[]) => inner?.changes(batch),
    pools: (...list: readonly OtherObject[]) => inner?.others?.(list),
    of: (name: string) => (services.get(`shop/${name}`)?.loadBalancerIngress ?? []).map((each) => each.ip),
    all: () =>
      Object.fromEntries(
        [...services].sort().map(([path, each]) => [path, each.loadBalancerIngress.map(({ ip }) => ip)]),
      ),
    problems: () => problems.map(({ subject, message }) => `${subject}: ${message}`),
    told: () => told,
    problemLists: () => lists,
  };
}

const NAMES = Array.from({ length: 40 }, (_, i) => `s${i}`);
const SMALL = pool('lan', ['192.0.2.0-192.0.2.49']);

t.test('equal folders come to equal addresses, in whatever order their objects came', async (t) => {
  const one = await world();
  one.pools(SMALL);
  one.send(...NAMES.map((name) => balanced(name)));
  const two = await world();
  for (const name of [...NAMES].reverse()) two.send(balanced(name));
  two.send(balanced('gone'));
  two.pools(SMALL);
  two.send({ type: 'delete', ref: { kind: 'Service', namespace: 'shop', name: 'gone' } });
  t.same(two.all(), one.all());
  const given = NAMES.flatMap((name) => one.of(name));
  t.equal(new Set(given).size, 40, 'every one has an address of its own');
  t.same(one.problems(), []);
});

t.test('a Service that comes or goes moves few others', async (t) => {
  const { send, pools, all } = await world();
  pools(pool('lan', ['192.0.2.0/24']));
  send(...NAMES.map((name) => balanced(name)));
  let moved = 0;
  for (let i = 0; i < 40; i++) {
    const before = all();
    send(balanced(`new${i}`));
    for (const [path, addresses] of Object.entries(before))
      if (all()[path]?.join() !== addresses.join()) moved++;
  }
  t.comment(`${moved} moves while 40 came to 40, in a pool of 256`);
  t.ok(moved <= 12);
});

t.test('named addresses, nodes, cluster IPs and external IPs are nobody else’s', async (t) => {
  const { send, pools, of, problems } = await world();
  pools(pool('lan', ['192.0.2.1-192.0.2.5']));
  send(
    balanced('named', {}, { 'penstock.io/load-balancer-ips': '192.0.2.1' }),
    balanced('old', { loadBalancerIP: '192.0.2.2' }),
    read({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node1' },
      status: { addresses: [{ type: 'InternalIP', address: '192.0.2.3' }] },
    }),
    read({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'inner', namespace: 'shop' },
      spec: { clusterIP: '192.0.2.4', ports: [{ port: 80 }] },
    }),
    balanced('free'),
  );
  t.same(of('named'), ['192.0.2.1']);
  t.same(of('old'), ['192.0.2.2']);
  t.same(of('free'), ['192.0.2.5']);
  send(balanced('late'));
  const [first] = [of('free'), of('late')].filter((list) => list.length === 0);
  t.same(first, [], 'one of both has none');
  t.match(problems(), [/^Service shop\/(late|free): it gets no address: no address of IPv4 is free in lan$/]);
  send({ type: 'delete', ref: { kind: 'Node', namespace: '', name: 'node1' } });
  t.same(problems(), []);
});

t.test('pools by name, sharing, both families, classes', async (t) => {
  const { send, pools, of, problems } = await world();
  pools(
    pool('lan', ['192.0.2.1-192.0.2.9', '2001:db8::/64']),
    pool('dear', ['203.0.113.1'], { autoAssign: false }),
    { id: 'broken', raw: { ...(SMALL.raw as object), spec: {} }, where: 'x' },
  );
  const both = { ipFamilyPolicy: 'RequireDualStack' };
  send(
    balanced('dear', {}, { 'metallb.io/address-pool': 'dear' }),
    balanced('two', both),
    balanced('web', {}, { 'metallb.io/allow-shared-ip': 'x' }),
    balanced('tls', { ports: [{ port: 443 }] }, { 'penstock.io/allow-shared-ip': 'x' }),
    balanced('other', { loadBalancerClass: 'example.com/other' }),
    balanced('bad', {}, { 'penstock.io/load-balancer-ips': 'nonsense' }),
  );
  t.same(of('dear'), ['203.0.113.1']);
  t.match(of('two'), [/^192\.0\.2\./, /^2001:db8::/]);
  t.same(of('web'), of('tls'), 'one address for both');
  t.same([of('other'), of('bad')], [[], []], 'nothing for another class, and nothing in the place of a slip');
  pools(pool('lan', ['192.0.2.1-192.0.2.9']));
  t.same(of('two'), [], 'both or none');
  t.match(
    problems().join('\n'),
    /shop\/two: it gets no address[\s\S]*|shop\/dear: it gets no address: there is no pool "dear"/,
  );
});

t.test('without pools as before, and no needless words', async (t) => {
  const { send, pools, of, problems, told } = await world();
  send(balanced('bare'), balanced('inner', { clusterIP: '10.0.0.1' }));
  t.match(problems(), [/^Service shop\/bare: has no address to be reached at/]);
  pools(SMALL);
  t.equal(of('bare').length + of('inner').length, 2);
  const before = told();
  pools(SMALL);
  send({
    type: 'upsert',
    object: {
      kind: 'Node',
      name: 'n',
      zone: '',
      addresses: [ip('10.0.0.9')],
      podCIDRs: [],
      eligible: true,
      leave: false,
    },
  });
  t.equal(told(), before + 1, 'the Node alone');
});

t.test('a change of endpoints alone decides nothing anew: it goes on as it came', async (t) => {
  const { send, pools, told, problemLists } = await world();
  pools(SMALL);
  send(balanced('cart'));
  const [before, lists] = [told(), problemLists()];
  send(
    read({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'cart-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'cart' } },
      addressType: 'IPv4',
      ports: [{ port: 80 }],
      endpoints: [{ addresses: ['10.0.0.1'] }],
    }),
  );
  t.equal(told(), before + 1);
  t.equal(problemLists(), lists, 'each decision tells its problems');
});

t.test(
  'a pool that turns bad stays as it was, and the fault is told; one that is gone is gone',
  async (t) => {
    const { send, pools, of, problems } = await world();
    pools(pool('lan', ['192.0.2.7']));
    send(balanced('cart'));
    pools(pool('lan', ['192.0.2.7', 'nonsense']));
    t.same(of('cart'), ['192.0.2.7'], 'a slip takes no address away');
    t.match(problems(), [
      /^IPAddressPool metallb-system\/lan: .*nonsense.*; its last good version stays in force$/,
    ]);
    pools();
    t.same(of('cart'), []);
    t.match(problems(), [/has no address to be reached at/]);
    pools(pool('lan', ['nonsense']));
    t.match(problems()[0], /it is set aside$/);
  },
);

t.test('of two pools of one name ours counts, as for whoever announces', async (t) => {
  const { send, pools, of } = await world();
  const theirs = pool('lan', ['203.0.113.1']);
  const ours = pool('lan', ['192.0.2.7']);
  pools(
    { ...theirs, id: 'theirs' },
    { ...ours, raw: { ...(ours.raw as object), apiVersion: 'penstock.io/v1alpha1' } },
  );
  send(balanced('cart'), balanced('late'));
  t.same([...of('cart'), ...of('late')], ['192.0.2.7']);
});

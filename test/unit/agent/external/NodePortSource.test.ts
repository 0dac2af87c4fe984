/** A balancer outside of the cluster: nodes as endpoints of LoadBalancer Services, as long as they pass. */
import t from 'tap';
import { NodePortSource } from '../../../../src/agent/external/NodePortSource.js';
import type { ObjectSource, SourceListener } from '../../../../src/kubernetes/ObjectSource.js';
import { type ApiObject, type ObjectChange, objectName, refOf } from '../../../../src/objects/ApiObject.js';
import type { EndpointSlice } from '../../../../src/objects/EndpointSlice.js';
import { EXCLUDE_LABEL, type Node } from '../../../../src/objects/Node.js';
import type { Problem } from '../../../../src/objects/Problem.js';
import type { Service } from '../../../../src/objects/Service.js';
import { ip, port, service } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';

const VIP = { ip: ip('192.0.2.100'), ipMode: 'VIP' } as const;

function node(name: string, addresses: readonly string[], fields: Partial<Node> = {}): ObjectChange {
  const object: Node = {
    kind: 'Node',
    name,
    zone: '',
    addresses: addresses.map(ip),
    podCIDRs: [],
    eligible: true,
    leave: false,
    ...fields,
  };
  return { type: 'upsert', object };
}

function balanced(fields: Partial<Service> = {}): ObjectChange {
  const ports = [port({ nodePort: 30080 })];
  const object = service({ type: 'LoadBalancer', ports, loadBalancerIngress: [VIP], ...fields });
  return { type: 'upsert', object };
}

const THREE = [node('a', ['10.0.0.1']), node('b', ['10.0.0.2']), node('c', ['10.0.0.3'])];

async function world(addresses: readonly string[] = []) {
  const clock = new FakeClock();
  /** Answers by `address:port`; a check that is not named passes. */
  const answers = new Map<string, string | Promise<string | undefined>>();
  const asked: string[] = [];
  const objects = new Map<string, ApiObject>();
  let inner: SourceListener | undefined;
  let problems: readonly Problem[] = [];
  let complete = 0;
  let lists = 0;
  const inside: ObjectSource = {
    name: 'manifests x',
    start: async (listener) => {
      inner = listener;
    },
    stop: async () => {},
  };
  const ask = (by: string) => async (address: string, portNumber: number) => {
    asked.push(`${by} ${address}:${portNumber}`);
    return answers.get(`${address}:${portNumber}`);
  };
  const source = new NodePortSource(inside, {
    clock,
    random: () => 1,
    addresses: addresses.map(ip),
    connect: { connects: ask('connect'), 'answers 200': ask('get') },
  });
  await source.start({
    changes: (batch) => {
      for (const change of batch) {
        if (change.type === 'delete') objects.delete(objectName(change.ref));
        else objects.set(objectName(refOf(change.object)), change.object);
      }
    },
    complete: () => {
      complete++;
    },
    problems: (list) => {
      problems = list;
      lists++;
    },
  });
  /** `a+ b~ c-`: gets connections, is the last resort, gets none. */
  const use = (name: string) => {
    const slice = objects.get(`EndpointSlice shop/${name}`) as EndpointSlice | undefined;
    const mark = ({ ready, serving }: EndpointSlice['endpoints'][number]) =>
      ready ? '+' : serving ? '~' : '-';
    return slice?.endpoints.map((each) => `${each.nodeName}${mark(each)}`).join(' ');
  };
  return {
    clock,
    answers,
    asked,
    objects,
    source,
    use,
    send: (...batch: readonly ObjectChange[]) => inner?.changes(batch),
    completeInner: () => inner?.complete(),
    complete: () => complete,
    problems: () => problems.map(({ message }) => message),
    /** How often it told its problems, as it does whenever it looks at Services. */
    told: () => lists,
  };
}

const TCP = 'cart-nodes-ipv4-tcp-30080';

t.test('a Service is served at its addresses alone, by the nodes at its node ports', async (t) => {
  const { clock, objects, source, send, use, asked } = await world();
  send(
    balanced({
      healthCheckNodePort: 0,
      externalIPs: [ip('203.0.113.7')],
      loadBalancerIngress: [{ ...VIP, ipMode: 'Proxy' }],
    }),
    { type: 'upsert', object: service({ name: 'inner' }) },
    ...THREE,
  );
  await clock.pass(100);
  t.equal(use(TCP), 'a+ b+ c+');
  const made = objects.get('Service shop/cart') as Service;
  t.match(made, {
    clusterIPs: {},
    externalIPs: [],
    healthCheckNodePort: 0,
    externalTrafficPolicy: 'Cluster',
  });
  t.same(made.ports, [port()], 'the balancer has no node port itself');
  t.same(made.loadBalancerIngress, [VIP], 'ipMode Proxy is for nodes');
  const [slice] = [...objects.values()].filter(({ kind }) => kind === 'EndpointSlice') as EndpointSlice[];
  t.same(slice?.ports, [{ name: '', protocol: 'TCP', port: 30080 }]);
  t.same([...objects.keys()].sort(), [`EndpointSlice shop/${TCP}`, 'Service shop/cart'], 'and nothing else');
  t.same([...new Set(asked)].sort(), [
    'connect 10.0.0.1:30080',
    'connect 10.0.0.2:30080',
    'connect 10.0.0.3:30080',
  ]);
  send({ type: 'upsert', object: service({ ports: [port()] }) });
  t.equal(objects.size, 0, 'a Service of another type is none of ours');
  t.equal(clock.waiting, 0, 'and no node is asked any more');
  await source.stop();
});

t.test('a node that takes no connection gets none, until it took two', async (t) => {
  const { clock, answers, source, send, use, problems } = await world();
  send(...THREE, balanced());
  t.equal(use(TCP), 'a- b- c-', 'before the first answer nobody knows');
  await clock.pass(100);
  t.equal(use(TCP), 'a+ b+ c+');
  answers.set('10.0.0.2:30080', 'ECONNREFUSED');
  await clock.pass(1000);
  t.equal(use(TCP), 'a+ b+ c+', 'one failure is none');
  await clock.pass(1100);
  t.equal(use(TCP), 'a+ b- c+');
  t.match(problems(), [
    /^node b takes no connection for port 80 \(10\.0\.0\.2:30080: ECONNREFUSED\); it gets none until it passed 2 in a row$/,
  ]);
  answers.delete('10.0.0.2:30080');
  await clock.pass(2100);
  t.equal(use(TCP), 'a+ b+ c+');
  t.same(problems(), []);
  for (const last of [1, 2, 3]) answers.set(`10.0.0.${last}:30080`, 'ETIMEDOUT');
  await clock.pass(2100);
  t.equal(use(TCP), 'a- b- c-');
  t.match(problems().at(-1), /^no node serves it/);
  await source.stop();
});

t.test('policy Local: the health-check node port says who has endpoints', async (t) => {
  const { clock, answers, source, send, use, problems, asked } = await world();
  answers.set('10.0.0.1:32000', 'answers 503');
  const ports = [
    port({ nodePort: 30080 }),
    port({ name: 'dns', protocol: 'UDP', port: 53, nodePort: 30053 }),
  ];
  send(...THREE, balanced({ externalTrafficPolicy: 'Local', healthCheckNodePort: 32000, ports }));
  await clock.pass(100);
  t.equal(use(TCP), 'a- b+ c+', 'what the first answer says holds');
  t.equal(use('cart-nodes-ipv4-udp-30053'), 'a- b+ c+');
  t.same(problems(), [], 'which is as it should be');
  t.same([...new Set(asked)].sort(), ['get 10.0.0.1:32000', 'get 10.0.0.2:32000', 'get 10.0.0.3:32000']);
  answers.set('10.0.0.2:32000', 'no answer within 1s');
  await clock.pass(2200);
  t.equal(use(TCP), 'a- b- c+');
  t.match(problems(), [/^node b fails the health check \(10\.0\.0\.2:32000: no answer within 1s\)/]);
  await source.stop();
});

t.test('a port that nothing listens on costs the other ports nothing', async (t) => {
  const { clock, answers, source, send, use } = await world();
  const ports = [port({ name: 'http', nodePort: 30080 }), port({ name: 'admin', port: 81, nodePort: 30081 })];
  for (const last of [1, 2, 3]) answers.set(`10.0.0.${last}:30081`, 'ECONNREFUSED');
  send(...THREE, balanced({ ports }));
  await clock.pass(100);
  t.equal(use(TCP), 'a+ b+ c+');
  t.equal(use('cart-nodes-ipv4-tcp-30081'), 'a- b- c-');
  await source.stop();
});

t.test('what the API says of a node', async (t) => {
  const { clock, answers, source, send, use, asked } = await world();
  const label = { labels: { [EXCLUDE_LABEL]: '' } };
  send(
    node('drained', ['10.0.0.1'], label),
    node('ending', ['10.0.0.2'], { eligible: false }),
    node('good', ['10.0.0.3']),
    node('silent', ['10.0.0.4'], { notReady: true }),
    node('unlinked', ['10.0.0.5'], { networkUnavailable: true }),
    node('without', []),
    balanced(),
  );
  await clock.pass(100);
  t.equal(use(TCP), 'drained- ending~ good+ silent~ unlinked~');
  t.notOk(
    asked.some((each) => each.includes('10.0.0.1:')),
    'who is left out is not asked',
  );
  answers.set('10.0.0.4:30080', 'ECONNREFUSED');
  await clock.pass(2100);
  t.equal(use(TCP), 'drained- ending~ good+ silent- unlinked~', 'the check counts for the last resort too');
  send(node('good', ['10.0.0.3'], label), node('drained', ['10.0.0.1']));
  await clock.pass(100);
  t.equal(use(TCP), 'drained+ ending~ good- silent- unlinked~');
  send({ type: 'delete', ref: { kind: 'Node', namespace: '', name: 'drained' } });
  t.equal(use(TCP), 'ending~ good- silent- unlinked~');
  await source.stop();
});

t.test('both families: each has the nodes with an address of it', async (t) => {
  const { clock, source, send, use, objects } = await world();
  const v6 = { ip: ip('2001:db8::100'), ipMode: 'VIP' } as const;
  const nodes = [node('a', ['10.0.0.1', 'fd00::1']), node('b', ['10.0.0.2', '203.0.113.2'])];
  send(
    ...nodes,
    balanced({
      clusterIPs: { IPv4: ip('10.96.0.10'), IPv6: ip('fd00:96::10') },
      loadBalancerIngress: [VIP, v6],
    }),
  );
  await clock.pass(100);
  t.equal(use(TCP), 'a+ b+');
  t.equal(use('cart-nodes-ipv6-tcp-30080'), 'a+');
  const slice = objects.get(`EndpointSlice shop/${TCP}`) as EndpointSlice;
  t.same(
    slice.endpoints.map(({ address }) => address),
    ['10.0.0.1', '10.0.0.2'],
    'the internal address',
  );
  send(balanced({ loadBalancerIngress: [VIP, v6] }));
  await clock.pass(100);
  t.equal(use('cart-nodes-ipv6-tcp-30080'), undefined, 'node ports are in the families of the cluster IPs');
  t.same((objects.get('Service shop/cart') as Service).loadBalancerIngress, [VIP]);
  await source.stop();
});

t.test('UDP: the health of the proxies; when none is heard, nothing is concluded', async (t) => {
  const { clock, answers, source, send, use, problems } = await world();
  const ports = [port({ protocol: 'UDP', port: 53, nodePort: 30053 })];
  const UDP = 'cart-nodes-ipv4-udp-30053';
  send(...THREE, balanced({ ports }));
  answers.set('10.0.0.2:10256', 'answers 503');
  await clock.pass(100);
  t.equal(use(UDP), 'a+ b- c+');
  for (const last of [1, 3]) answers.set(`10.0.0.${last}:10256`, 'ECONNREFUSED');
  await clock.pass(2200);
  t.equal(use(UDP), 'a~ b~ c~', 'all of them, alike');
  t.match(problems()[0], /^port 80|^port 53\/UDP cannot be checked, and the proxy of node a/);
  await source.stop();
});

t.test(
  'addresses of this machine are for Services without any; what cannot be reached is told',
  async (t) => {
    const { clock, source, send, objects, problems } = await world(['198.51.100.1', '2001:db8::1']);
    send(...THREE, balanced({ loadBalancerIngress: [] }), balanced({ name: 'own' }));
    const ingressOf = (name: string) =>
      (objects.get(`Service shop/${name}`) as Service).loadBalancerIngress.map((each) => each.ip);
    t.same(ingressOf('cart'), ['198.51.100.1'], 'in the families of the Service');
    t.same(ingressOf('own'), ['192.0.2.100']);
    send(balanced({ ports: [port()], options: { 'health-check-fall': 'x' } }));
    await clock.pass(100);
    t.match(problems(), [
      /health-check-fall.*must be 1 to 100; until then it is 2/,
      /^port 80\/TCP has no node port/,
    ]);
    await source.stop();
    const bare = await world();
    bare.send(...THREE, balanced({ loadBalancerIngress: [] }));
    t.match(bare.problems()[0], /^it has no address yet/);
    await bare.source.stop();
  },
);

t.test('complete is told when every node has answered, or after three seconds', async (t) => {
  const quick = await world();
  quick.send(...THREE, balanced());
  quick.completeInner();
  t.equal(quick.complete(), 0, 'a restart writes nothing before it knows');
  await quick.clock.pass(100);
  t.equal(quick.complete(), 1);
  await quick.clock.pass(5000);
  t.equal(quick.complete(), 1, 'once');
  await quick.source.stop();
  const slow = await world();
  slow.answers.set('10.0.0.2:30080', new Promise<undefined>(() => {}));
  slow.send(...THREE, balanced());
  slow.completeInner();
  await slow.clock.pass(2900);
  t.equal(slow.complete(), 0);
  await slow.clock.pass(200);
  t.equal(slow.complete(), 1);
  t.equal(slow.use(TCP), 'a+ b- c+');
  await slow.source.stop();
  t.equal(slow.clock.waiting, 0);
  const none = await world();
  none.completeInner();
  t.equal(none.complete(), 1, 'without Services at once');
  await none.source.stop();
});

t.test('checks are bounded, and shared', async (t) => {
  const { clock, source, send, use, problems } = await world();
  const many = Array.from({ length: 1001 }, (_, i) =>
    balanced({ name: `s${i}`, ports: [port({ nodePort: 20_000 + i })] }),
  );
  send(node('a', ['10.0.0.1']), node('b', ['10.0.0.2']), ...many);
  t.equal(clock.waiting, 2000);
  t.match(problems().at(-1), /^2 node ports are not checked: 2000 are the most/);
  t.equal(use('s1000-nodes-ipv4-tcp-21000'), 'a+ b+', 'they are taken to be well');
  await source.stop();
  const shared = await world();
  const dns = (name: string) => balanced({ name, ports: [port({ protocol: 'UDP', nodePort: 30053 })] });
  shared.send(...THREE, dns('x'), dns('y'), dns('z'));
  t.equal(shared.clock.waiting, 3, 'the proxy of a node is asked once for all');
  shared.send({ type: 'delete', ref: { kind: 'Service', namespace: 'shop', name: 'x' } });
  t.equal(shared.clock.waiting, 3);
  await shared.source.stop();
});

t.test('a change of a Node that nothing here uses costs nothing', async (t) => {
  const { clock, source, send, told, use } = await world();
  send(...THREE, balanced());
  await clock.pass(100);
  const before = told();
  send(node('b', ['10.0.0.2'], { labels: { rack: '7' }, zone: 'z', podCIDRs: [] }));
  t.equal(told(), before, 'no Service is looked at anew');
  send(node('b', ['10.0.0.4', '10.0.0.2']));
  await clock.pass(100);
  t.ok(told() > before, 'its address is used');
  send(node('b', ['10.0.0.4'], { notReady: true }));
  t.equal(use(TCP), 'a+ b~ c+');
  await source.stop();
});

t.test(
  'a Service with many ports, at nodes that do not answer: problems are counted, and few are kept',
  async (t) => {
    const { clock, answers, source, send, problems } = await world();
    const ports = Array.from({ length: 600 }, (_, i) =>
      port({ name: `p${i}`, protocol: 'UDP', port: 1000 + i, nodePort: 30_000 + i }),
    );
    for (const last of [1, 2, 3]) answers.set(`10.0.0.${last}:10256`, 'ECONNREFUSED');
    send(...THREE, balanced({ ports }), balanced({ name: 'dns', ports: ports.slice(0, 1) }));
    await clock.pass(100);
    t.equal(problems().length, 1001);
    // 3 nodes, and a line for each of both Services that no node serves.
    t.match(problems().at(-1), `${600 * 3 + 3 + 2 - 1000} more problems`);
    await source.stop();
  },
);

t.test('room that a Service leaves is for those that there was none for', async (t) => {
  const { clock, answers, source, send, use, problems } = await world();
  const ports = Array.from({ length: 1000 }, (_, i) =>
    port({ name: `p${i}`, port: i + 1, nodePort: 20_000 + i }),
  );
  send(node('a', ['10.0.0.1']), node('b', ['10.0.0.2']), balanced({ name: 'big', ports }), balanced());
  answers.set('10.0.0.2:30080', 'ECONNREFUSED');
  await clock.pass(100);
  t.equal(use(TCP), 'a+ b+', 'nobody looks');
  t.match(problems(), [/^2 node ports are not checked/]);
  send({ type: 'delete', ref: { kind: 'Service', namespace: 'shop', name: 'big' } });
  await clock.pass(100);
  t.equal(use(TCP), 'a+ b-');
  t.match(problems(), [/^node b takes no connection/]);
  await source.stop();
});

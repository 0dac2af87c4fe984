import t from 'tap';
import { UNWEIGHTED } from '../../../../src/balancing/Balancing.js';
import {
  CaptureView,
  type EngineAddress,
  throughViews,
} from '../../../../src/dataplane/userspace/CaptureView.js';
import type { Endpoint, EndpointSets, ServicePort } from '../../../../src/routing/ServicePort.js';
import { cidr, ip, service, tableOf } from '../../../support/builders.js';
import { clusterOnly, routedEndpoint, servicePort } from '../../../support/proxyEngine.js';

const ENGINE: EngineAddress = {
  address: ip('192.168.0.2'),
  TCP: { inside: 101, outside: 102 },
  UDP: { inside: 201, outside: 202 },
};

const here = routedEndpoint('10.0.0.1', { local: true });
const there = routedEndpoint('10.0.0.2');

/** What the kernel must see of the first version of a service port. */
function seen(port: ServicePort): ServicePort {
  const [change] = new CaptureView(ENGINE).apply([{ key: port.key, before: undefined, after: port }]);
  return change?.after as ServicePort;
}

function sets(cluster: readonly Endpoint[], local: readonly Endpoint[], any = true): EndpointSets {
  const reachable = [...new Set([...cluster, ...local])];
  return { all: reachable, cluster, local, reachable, any };
}

function targets({ cluster, local, reachable, all, any }: EndpointSets) {
  const of = (list: readonly Endpoint[]) => list.map(({ target }) => target).join(' ');
  return { cluster: of(cluster), local: of(local), reachable: of(reachable), all: of(all), any };
}

interface Case {
  readonly what: string;
  readonly protocol?: ServicePort['protocol'];
  readonly endpoints: EndpointSets;
  readonly cluster: string;
  readonly local: string;
}

const INSIDE = '192.168.0.2:101';
const OUTSIDE = '192.168.0.2:102';

const CASES: readonly Case[] = [
  { what: 'policy Cluster', endpoints: sets([here, there], []), cluster: INSIDE, local: '' },
  { what: 'policy Local only', endpoints: sets([], [here]), cluster: '', local: OUTSIDE },
  { what: 'both', endpoints: sets([here, there], [here]), cluster: INSIDE, local: OUTSIDE },
  { what: 'Local, none here: drop', endpoints: sets([], []), cluster: '', local: '' },
  { what: 'Local, none here, but for the node', endpoints: sets([there], []), cluster: INSIDE, local: '' },
  { what: 'none anywhere: reject', endpoints: sets([], [], false), cluster: '', local: '' },
  {
    what: 'UDP',
    protocol: 'UDP',
    endpoints: sets([there], [here]),
    cluster: '192.168.0.2:201',
    local: '192.168.0.2:202',
  },
];

t.test('every list that has endpoints becomes the engine', async (t) => {
  for (const { what, protocol = 'TCP', endpoints, cluster, local } of CASES) {
    const found = targets(seen(servicePort({ protocol, endpoints })).endpoints);
    const reachable = [cluster, local].filter((text) => text !== '').join(' ');
    t.strictSame(found, { cluster, local, reachable, all: reachable, any: endpoints.any }, what);
  }
});

t.test('SCTP is refused: there are no endpoints anywhere', async (t) => {
  const { endpoints } = seen(servicePort({ protocol: 'SCTP', endpoints: sets([here], [here]) }));
  t.strictSame(targets(endpoints), { cluster: '', local: '', reachable: '', all: '', any: false });
});

t.test('the engine is a ready endpoint somewhere else, so that the rules treat it as any', async (t) => {
  const [engine] = seen(servicePort()).endpoints.cluster;
  t.strictSame(engine, routedEndpoint('192.168.0.2', { port: 101, target: INSIDE }));
});

t.test('the engine balances and remembers clients, not the kernel; all else is as it was', async (t) => {
  const port = servicePort({
    options: { algorithm: 'maglev', retries: '1s' },
    balancing: UNWEIGHTED.maglev,
    affinitySeconds: 300,
    nodePort: 30_001,
    externalIPs: [ip('192.0.2.1')],
    loadBalancerIPs: [ip('192.0.2.2')],
    sourceRanges: [cidr('198.51.100.0/24')],
    nodeInSourceRanges: true,
    internalPolicy: 'Local',
    externalPolicy: 'Local',
  });
  const { balancing, options, affinitySeconds, endpoints, ...rest } = seen(port);
  t.equal(balancing, UNWEIGHTED.random);
  t.strictSame([options, affinitySeconds], [{}, undefined]);
  const { balancing: _b, options: _o, affinitySeconds: _a, endpoints: _e, ...given } = port;
  t.strictSame(rest, given);
});

t.test('changes that the kernel does not see', async (t) => {
  const before = servicePort({ endpoints: sets([here, there], [here]) });
  const invisible: Partial<ServicePort>[] = [
    { endpoints: sets([here], [here]) },
    { endpoints: sets([routedEndpoint('10.0.0.9')], [here, routedEndpoint('10.0.0.9')]) },
    { options: { retries: '1s' } },
    { affinitySeconds: 9 },
    { balancing: UNWEIGHTED.maglev },
    { externalIPs: [] },
  ];
  for (const fields of invisible) {
    const view = new CaptureView(ENGINE);
    view.apply([{ key: before.key, before: undefined, after: before }]);
    const known = view.servicePorts.get(before.key);
    const after = { ...before, ...fields };
    t.strictSame(view.apply([{ key: before.key, before, after }]), [], Object.keys(fields).join());
    t.equal(view.servicePorts.get(before.key), known, 'the same object');
  }
});

t.test('changes that it does', async (t) => {
  const before = servicePort({ endpoints: sets([here, there], [here]) });
  const visible: Partial<ServicePort>[] = [
    { endpoints: sets([], [here]) },
    { endpoints: sets([here, there], []) },
    { endpoints: sets([], []) },
    { endpoints: sets([here, there], [here], false) },
    { clusterIP: undefined },
    { clusterIP: ip('10.96.0.11') },
    { port: 81 },
    { nodePort: 30_001 },
    { externalIPs: [ip('192.0.2.1')] },
    { loadBalancerIPs: [ip('192.0.2.1')] },
    { sourceRanges: [cidr('198.51.100.0/24')] },
    { nodeInSourceRanges: true },
    { internalPolicy: 'Local' },
    { externalPolicy: 'Local' },
  ];
  for (const fields of visible) {
    const view = new CaptureView(ENGINE);
    view.apply([{ key: before.key, before: undefined, after: before }]);
    const known = view.servicePorts.get(before.key);
    const [change, ...more] = view.apply([{ key: before.key, before, after: { ...before, ...fields } }]);
    t.strictSame([change?.key, more], [before.key, []], Object.keys(fields).join());
    t.equal(change?.before, known, 'before is what the kernel saw');
    t.equal(change?.after, view.servicePorts.get(before.key));
  }
});

t.test('what goes, and what never was', async (t) => {
  const view = new CaptureView(ENGINE);
  const port = servicePort();
  view.apply([{ key: port.key, before: undefined, after: port }]);
  const known = view.servicePorts.get(port.key);
  const gone = { key: port.key, before: port, after: undefined };
  t.strictSame(view.apply([gone]), [{ key: port.key, before: known, after: undefined }]);
  t.equal(view.servicePorts.size, 0);
  t.strictSame(view.apply([gone]), []);
});

t.test('a view is for one address of the host', async (t) => {
  const view = new CaptureView(ENGINE);
  t.ok(view.isFor({ ...ENGINE }));
  t.notOk(view.isFor({ ...ENGINE, address: ip('192.168.0.3') }));
});

t.test('a table through views', async (t) => {
  const table = tableOf([service()], { fallbackAddresses: { IPv4: ip('192.168.0.2') } });
  table.commit();
  const view = new CaptureView(ENGINE);
  const port = servicePort({ endpoints: clusterOnly([there]) });
  view.apply([{ key: port.key, before: undefined, after: port }]);
  const through = throughViews(table, new Map([['IPv4', view]]));
  t.equal(through.servicePorts('IPv4'), view.servicePorts);
  t.equal(through.servicePorts('IPv6').size, 0);
  t.equal(through.node, table.node);
  t.equal(through.serviceCIDRs('IPv4'), table.serviceCIDRs('IPv4'));
});

t.test('cluster IPs that come without translation', async (t) => {
  const untranslated = [cidr('10.96.0.0/12')];
  const [tcp, udp] = (['TCP', 'UDP'] as const).map((protocol) => servicePort({ protocol }));
  const view = new CaptureView({ ...ENGINE, untranslated });
  const [first, second] = [tcp, udp].map((port) => {
    const [change] = view.apply([{ key: `${port?.key}`, before: undefined, after: port }]);
    return change?.after?.endpoints;
  });
  const target = `${tcp?.clusterIP}:${tcp?.port}`;
  t.strictSame(
    first?.internal?.map((each) => each.target),
    [target],
    'the cluster IP itself',
  );
  t.strictSame(
    first?.cluster.map((each) => each.target),
    [INSIDE],
    'others are sent to the engine',
  );
  t.strictSame(
    first?.reachable.map((each) => each.target),
    [target, INSIDE],
  );
  t.equal(second?.internal, undefined, 'answers of UDP would bear the port of the engine');
  t.ok(view.isFor({ ...ENGINE, untranslated }));
  t.notOk(view.isFor(ENGINE));
  const elsewhere = new CaptureView({ ...ENGINE, untranslated: [cidr('172.30.0.0/16')] });
  const [other] = elsewhere.apply([{ key: `${tcp?.key}`, before: undefined, after: tcp }]);
  t.equal(other?.after?.endpoints.internal, undefined, 'a cluster IP outside of the ranges');
  const [none] = view.apply([
    { key: 'none', before: undefined, after: servicePort({ endpoints: clusterOnly([]) }) },
  ]);
  t.equal(none?.after?.endpoints.internal, undefined, 'without an endpoint it is refused');
});

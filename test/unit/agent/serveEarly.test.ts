/** What is served of a cluster before all of it has been read, and when nothing is. */
import pino from 'pino';
import t from 'tap';
import { once, serveEarly } from '../../../src/agent/serveEarly.js';
import { earlyPorts } from '../../../src/dataplane/nftables/plan/earlyPorts.js';
import type { RoutingView } from '../../../src/routing/RoutingView.js';
import { FakeApiServer, type RawApiObject } from '../../support/FakeApiServer.js';
import { FakeClock } from '../../support/FakeClock.js';
import { PATHS, putObjects } from '../../support/putObjects.js';
import { rawService, rawSlice } from '../../support/rawServices.js';
import { runFile } from '../config/runCommand.js';

const CONFIG = 'mode: nftables\nhostnameOverride: node1\n';
const NODE = { kind: 'Node', metadata: { name: 'node1' }, status: {} };
const ENDPOINTS = ['10.1.0.1', '10.1.0.2'];

/** The Service of the API server, a DNS with more than cluster IPs, one without endpoints, and others. */
function cluster(clock: FakeClock): FakeApiServer {
  const fake = new FakeApiServer(clock);
  const dns = {
    type: 'LoadBalancer',
    externalIPs: ['198.51.100.7'],
    ports: [{ name: 'dns', port: 53, protocol: 'UDP', nodePort: 30_053 }],
  };
  putObjects(fake, [
    NODE,
    rawService('default', 'kubernetes', '10.96.0.1'),
    rawSlice('default', 'kubernetes', ENDPOINTS),
    rawService('default', 'shop', '10.96.0.2'),
    rawSlice('default', 'shop', ENDPOINTS),
    rawService('kube-system', 'dns', '10.96.0.10', dns),
    rawSlice('kube-system', 'dns', ENDPOINTS, [{ name: 'dns', port: 53, protocol: 'UDP' }]),
    rawService('kube-system', 'silent', '10.96.0.11'),
    rawService('other', 'kubernetes', '10.96.0.3'),
  ]);
  return fake;
}

interface Given {
  readonly text?: string;
  readonly hasNote?: boolean;
  readonly isUnserved?: boolean | Error;
  /** Takes its time, or fails. */
  readonly fault?: (fake: FakeApiServer) => void;
  readonly served?: Error;
  /** What changes then. */
  readonly after?: (fake: FakeApiServer) => void;
}

/** What the dataplane was given to serve; how often the host was made ready, and what was asked for. */
async function early({ text = '', hasNote = false, isUnserved = true, fault, served, after }: Given) {
  const clock = new FakeClock();
  const fake = cluster(clock);
  fault?.(fake);
  const found = { prepared: 0, ports: [] as string[], hasNodePort: false };
  const serving = serveEarly({
    config: runFile(CONFIG + text).config,
    apiServer: fake,
    hostAddresses: {},
    dataplane: {
      isUnserved: async () => {
        if (isUnserved instanceof Error) throw isUnserved;
        return isUnserved;
      },
      serveEarly: async (table: RoutingView) => {
        if (served) throw served;
        for (const port of earlyPorts(table.servicePorts('IPv4').values())) {
          const addresses = [port.clusterIP, ...port.externalIPs, ...port.loadBalancerIPs];
          found.ports.push(`${port.key} ${addresses.join()} ${port.endpoints.reachable.length}`);
          found.hasNodePort ||= port.nodePort !== 0;
        }
        return ['default/kubernetes'];
      },
    },
    prepare: async () => {
      found.prepared++;
    },
    host: { clock, leaving: { hasNote: () => hasNote } },
    log: pino({ level: 'silent' }),
  });
  await clock.pass(1500);
  const end = await serving;
  const first = found.ports.splice(0);
  const asked = fake.requests.length;
  after?.(fake);
  await clock.pass(14_000);
  const later = found.ports.splice(0);
  await end();
  await clock.pass(60_000);
  t.same(found.ports.splice(0), [], 'nothing is written after the end');
  found.ports = first;
  return {
    later,
    ...found,
    asked,
    waits: clock.waiting,
  };
}

const BOTH = ['default/kubernetes:http/TCP 10.96.0.1 2', 'kube-system/dns:dns/UDP 10.96.0.10 2'];

t.test('cluster IPs of the API server and of kube-system whose endpoints serve', async (t) => {
  const { prepared, ports, hasNodePort, asked } = await early({});
  t.same(ports.sort(), BOTH);
  t.notOk(hasNodePort);
  t.equal(prepared, 1, 'the host is made ready before');
  t.equal(asked, 5);
});

t.test('nobody is asked, and nothing written', async (t) => {
  const labelled = { ...NODE, metadata: { name: 'node1', labels: { 'penstock.io/leave': 'true' } } };
  for (const [why, given, requests] of [
    ['something is served', { isUnserved: false }, 0],
    ['the kernel does not tell', { isUnserved: new Error('EINTR') }, 0],
    ['penstock leave was called', { hasNote: true }, 0],
    ['the configuration leaves', { text: 'penstock: {leave: true}' }, 0],
    [
      'the Node says so',
      { fault: (fake: FakeApiServer) => fake.put(PATHS.Node, labelled as RawApiObject) },
      5,
    ],
    ['there is no Node', { fault: (fake: FakeApiServer) => fake.delete(PATHS.Node, NODE) }, 5],
  ] as const) {
    const { prepared, ports, asked } = await early(given);
    t.same([prepared, ports, asked], [0, [], requests], why);
  }
});

t.test('what cannot be read, or not soon, keeps nobody waiting', async (t) => {
  const path = '/api/v1/namespaces/kube-system/services';
  for (const fault of [
    { type: 'status', status: 403 },
    { type: 'refuse' },
    { type: 'cut', after: 10 },
    { type: 'stall', after: 10 },
    { type: 'garbage' },
  ] as const) {
    const { prepared, ports, waits } = await early({
      fault: (fake) => void fake.faultsAt.set(path, [fault]),
    });
    t.same([prepared, ports, waits], [0, [], 0], fault.type);
  }
});

t.test('a kernel that refuses it: the first sync comes all the same', async (t) => {
  const { prepared, ports } = await early({ served: new Error('EINVAL') });
  t.same([prepared, ports], [1, []]);
});

t.test('the host is made ready once, and a failure is told to both', async (t) => {
  let calls = 0;
  const action = once(async () => {
    calls++;
    throw new Error('no');
  });
  await t.rejects(action(), /no/);
  await t.rejects(action(), /no/);
  t.equal(calls, 1);
});

t.test('what changes while the rest is read is followed, until the end', async (t) => {
  t.same((await early({})).later.sort(), BOTH);
  const moved = rawSlice('default', 'kubernetes', ['10.1.0.9', '10.1.0.8', '10.1.0.7']);
  const { later } = await early({ after: (fake) => putObjects(fake, [moved]) });
  t.same(later.sort(), [BOTH[0]?.replace(/2$/, '3'), BOTH[1]]);
  const none = rawSlice('kube-system', 'dns', []);
  t.same((await early({ after: (fake) => putObjects(fake, [none]) })).later, [BOTH[0]], 'withdrawn');
});

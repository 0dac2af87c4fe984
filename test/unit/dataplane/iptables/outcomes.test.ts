/** The table of outcomes that kube-proxy's own tests demand of modes iptables and nftables. */
import t from 'tap';
import { NO_RULES } from '../../../../src/dataplane/iptables/plan/ExistingRules.js';
import { planFull } from '../../../../src/dataplane/iptables/plan/planFull.js';
import type { Outcome } from '../../../../src/explain/Decision.js';
import type { Flow, RuleOptions } from '../../../../src/explain/World.js';
import type { ApiObject } from '../../../../src/objects/ApiObject.js';
import type { Service } from '../../../../src/objects/Service.js';
import { cidr, endpoint, ip, node, port, service, slice, tableOf } from '../../../support/builders.js';
import { FakeXtables } from '../../../support/FakeXtables.js';
import { DEFAULT_CONFIG, rulesOf, settingsOf } from '../../../support/renderTable.js';
import { PacketTracer } from '../../../support/tracePacket.js';

const NODE_IP = '192.168.0.2';
const LOCAL = '10.180.0.1:8080';
const REMOTE = '10.180.1.1:8080';

const SENDERS = {
  pod: { origin: 'pod', source: '10.0.0.2', interface: 'cni0' },
  node: { origin: 'node', source: NODE_IP, interface: '' },
  localhost: { origin: 'node', source: '127.0.0.1', interface: '' },
  external: { origin: 'external', source: '203.0.113.2', interface: 'eth0' },
} as const;

const detected = (on: 'detector' | 'none'): RuleOptions['detectLocal'] =>
  on === 'none' ? { type: 'None' } : { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.0.0.0/8') } };
const CONFIGS: readonly RuleOptions[] = [
  { ...DEFAULT_CONFIG, detectLocal: detected('detector') },
  { ...DEFAULT_CONFIG, detectLocal: detected('none') },
  { ...DEFAULT_CONFIG, detectLocal: detected('detector'), masqueradeAll: true },
  { ...DEFAULT_CONFIG, detectLocal: detected('none'), masqueradeAll: true },
];

function serviceNumber(n: 1 | 2 | 3, fields: Partial<Service> = {}): Service {
  const vips = { 1: '1.2.3.4', 2: '5.6.7.8', 3: '9.10.11.12' };
  return service({
    name: `s${n}`,
    type: 'LoadBalancer',
    clusterIPs: { IPv4: ip(`172.30.0.4${n}`) },
    ports: [port({ nodePort: 3000 + n })],
    loadBalancerIngress: [{ ip: ip(vips[n]), ipMode: 'VIP' }],
    externalTrafficPolicy: n === 2 ? 'Local' : 'Cluster',
    internalTrafficPolicy: n === 3 ? 'Local' : 'Cluster',
    ...fields,
  });
}

const OBJECTS: readonly ApiObject[] = ([1, 2, 3] as const).flatMap((n) => [
  serviceNumber(n),
  slice([endpoint('10.180.0.1', { nodeName: 'node1' }), endpoint('10.180.1.1')], {
    name: `s${n}`,
    serviceName: `s${n}`,
  }),
]);

function tracerOf(objects: readonly ApiObject[], config = CONFIGS[0] as RuleOptions): PacketTracer {
  const table = tableOf([...objects, node({ addresses: [ip(NODE_IP)] })]);
  table.commit();
  const settings = settingsOf('IPv4', table, config);
  const fake = new FakeXtables();
  fake.write(planFull(rulesOf(table, settings), NO_RULES, settings, Number.POSITIVE_INFINITY).toString());
  return new PacketTracer(fake.dump(), [NODE_IP, '192.168.1.2']);
}

type Way = 'CIP' | 'NodePort' | 'LB';

function flow(
  sender: keyof typeof SENDERS,
  way: Way,
  { clusterIPs, ports, loadBalancerIngress }: Service,
): Flow {
  const nodePort = ports[0]?.nodePort ?? 0;
  const local = sender === 'localhost' ? '127.0.0.1' : NODE_IP;
  const to: Readonly<Record<Way, Pick<Flow, 'destination' | 'port'>>> = {
    CIP: { destination: clusterIPs.IPv4 ?? '', port: 80 },
    NodePort: { destination: local, port: nodePort },
    LB: { destination: loadBalancerIngress[0]?.ip ?? '', port: 80 },
  };
  return { ...SENDERS[sender], protocol: 'TCP', ...to[way] };
}

/** `LR yes`: both endpoints, masqueraded. */
function short(outcome: Outcome): string {
  if (typeof outcome === 'string') return outcome;
  const letters = outcome.map((d) => (d.target === LOCAL ? 'L' : d.target === REMOTE ? 'R' : '?')).join('');
  const masqueraded = new Set(outcome.map((d) => d.masquerade));
  return `${letters} ${[...masqueraded].map((yes) => (yes ? 'yes' : 'no')).join('/')}`;
}

/** With detector; without; masqueradeAll; masqueradeAll without detector. */
const ROWS: readonly [keyof typeof SENDERS, 1 | 2 | 3, Way, string, string, string, string][] = [
  ['pod', 1, 'CIP', 'LR no', 'LR no', 'LR yes', 'LR yes'],
  ['pod', 1, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['pod', 1, 'LB', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['node', 1, 'CIP', 'LR yes', 'LR no', 'LR yes', 'LR yes'],
  ['node', 1, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['localhost', 1, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['node', 1, 'LB', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['external', 1, 'CIP', 'LR yes', 'LR no', 'LR yes', 'LR yes'],
  ['external', 1, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['external', 1, 'LB', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['pod', 2, 'CIP', 'LR no', 'LR no', 'LR yes', 'LR yes'],
  ['pod', 2, 'NodePort', 'LR no', 'L no', 'LR no', 'L no'],
  ['pod', 2, 'LB', 'LR no', 'L no', 'LR no', 'L no'],
  ['node', 2, 'CIP', 'LR yes', 'LR no', 'LR yes', 'LR yes'],
  ['node', 2, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['localhost', 2, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['node', 2, 'LB', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['external', 2, 'CIP', 'LR yes', 'LR no', 'LR yes', 'LR yes'],
  ['external', 2, 'NodePort', 'L no', 'L no', 'L no', 'L no'],
  ['external', 2, 'LB', 'L no', 'L no', 'L no', 'L no'],
  ['pod', 3, 'CIP', 'L no', 'L no', 'L yes', 'L yes'],
  ['pod', 3, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['pod', 3, 'LB', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['node', 3, 'CIP', 'L yes', 'L no', 'L yes', 'L yes'],
  ['node', 3, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['localhost', 3, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['node', 3, 'LB', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['external', 3, 'CIP', 'L yes', 'L no', 'L yes', 'L yes'],
  ['external', 3, 'NodePort', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
  ['external', 3, 'LB', 'LR yes', 'LR yes', 'LR yes', 'LR yes'],
];

t.test('who reaches what, and whether it is masqueraded', async (t) => {
  const tracers = CONFIGS.map((config) => tracerOf(OBJECTS, config));
  for (const [sender, n, way, ...expected] of ROWS) {
    const found = tracers.map((tracer) => short(tracer.trace(flow(sender, way, serviceNumber(n)))));
    t.same(found, expected, `${sender} -> S${n} ${way}`);
  }
});

t.test('hairpin: only the endpoint that meets itself is masqueraded', async (t) => {
  const outcome = tracerOf(OBJECTS).trace({ ...flow('pod', 'CIP', serviceNumber(1)), source: '10.180.0.1' });
  t.same(outcome, [
    { target: LOCAL, masquerade: true, chance: 0.5 },
    { target: REMOTE, masquerade: false, chance: 0.5 },
  ]);
});

t.test('no endpoints', async (t) => {
  const tracer = tracerOf([serviceNumber(1, { externalIPs: [ip('192.168.99.22')] })]);
  for (const sender of ['pod', 'external'] as const) {
    for (const way of ['CIP', 'NodePort', 'LB'] as const) {
      t.equal(tracer.trace(flow(sender, way, serviceNumber(1))), 'REJECT', `${sender} -> ${way}`);
    }
    const toExternalIP = { ...flow(sender, 'CIP', serviceNumber(1)), destination: '192.168.99.22' };
    t.equal(tracer.trace(toExternalIP), 'REJECT', `${sender} -> external IP`);
  }
});

t.test('unknown ports, protocols and addresses are let alone', async (t) => {
  const tracer = tracerOf(OBJECTS);
  const known = flow('pod', 'CIP', serviceNumber(1));
  t.equal(tracer.trace({ ...known, port: 81 }), 'NONE');
  t.equal(tracer.trace({ ...known, protocol: 'UDP' }), 'NONE');
  t.equal(tracer.trace({ ...known, destination: '172.30.0.99' }), 'NONE');
});

t.test('source ranges guard load-balancer IPs only', async (t) => {
  const restricted = serviceNumber(1, {
    loadBalancerSourceRanges: [cidr('192.168.0.0/24'), cidr('203.0.113.0/25')],
  });
  const [, ...rest] = OBJECTS;
  const tracer = tracerOf([restricted, ...rest]);
  const toLb = flow('external', 'LB', restricted);
  t.equal(short(tracer.trace(toLb)), 'LR yes', 'inside a range');
  t.equal(tracer.trace({ ...toLb, source: '203.0.113.130' }), 'DROP', 'outside');
  t.equal(tracer.trace(flow('pod', 'LB', restricted)), 'DROP', 'pods are outside too');
  t.equal(short(tracer.trace(flow('node', 'LB', restricted))), 'LR yes', 'the node is in a range');
  t.equal(
    short(tracer.trace({ ...flow('node', 'LB', restricted), source: '1.2.3.4' })),
    'LR yes',
    'as the VIP itself',
  );
  t.equal(short(tracer.trace(flow('external', 'NodePort', restricted))), 'LR yes');
  t.equal(short(tracer.trace({ ...flow('external', 'CIP', restricted), source: '203.0.113.130' })), 'LR yes');
});

t.test('node ports on the second address of the node only where nodePortAddresses says so', async (t) => {
  const second = { ...flow('external', 'NodePort', serviceNumber(1)), destination: '192.168.1.2' };
  const on = (...nodePortAddresses: string[]) =>
    short(tracerOf(OBJECTS, { ...(CONFIGS[0] as RuleOptions), nodePortAddresses }).trace(second));
  t.equal(on(), 'LR yes');
  t.equal(on('192.168.0.0/24'), 'NONE');
});

t.test('neighbours do not reach 127.0.0.0/8 through route_localnet (CVE-2020-8558)', async (t) => {
  const intruder: Flow = { ...SENDERS.external, protocol: 'TCP', destination: '127.0.0.1', port: 10249 };
  t.equal(tracerOf(OBJECTS).trace(intruder), 'DROP');
  t.equal(tracerOf(OBJECTS).trace({ ...intruder, ...SENDERS.localhost }), 'NONE');
});

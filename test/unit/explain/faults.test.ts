/**
 * Faults that operators meet, each seeded here and named by one command: what `penstock explain` says first. docs/see.md shows
 * the same lines; this test holds the two together.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { explain } from '../../../src/explain/explain.js';
import { readFlow } from '../../../src/explain/names.js';
import type { Mode, Rules, World } from '../../../src/explain/World.js';
import type { EndpointSlice } from '../../../src/objects/EndpointSlice.js';
import type { Problem } from '../../../src/objects/Problem.js';
import type { Service } from '../../../src/objects/Service.js';
import { cidr, DEAD, endpoint, endpointPort, ip, port, service, slice } from '../../support/builders.js';
import { nodeWorld } from '../../support/explainWorld.js';
import { fromRoot } from '../../support/fromRoot.js';

const RULES: Rules = {
  mode: 'nftables',
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.244.0.0/16') } },
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortAddresses: ['192.168.0.2/32'],
};
const HTTP = port({ name: 'http' });
const CART = service({ ports: [HTTP] });
const PORTS = [endpointPort({ name: 'http' })];
const HERE = endpoint('10.244.1.7', { podName: 'cart-a', nodeName: 'node1' });
const AWAY = endpoint('10.244.2.8', { podName: 'cart-b' });
const SLICE = slice([HERE, AWAY], { ports: PORTS });
const BALANCER = service({
  type: 'LoadBalancer',
  ports: [port({ name: 'http', nodePort: 30_080 })],
  loadBalancerIngress: [{ ip: ip('192.0.2.80'), ipMode: 'VIP' }],
});

const MODES: readonly Mode[] = ['nftables', 'iptables', 'ipvs', 'userspace'];

interface Fault {
  readonly fault: string;
  readonly services: readonly Service[];
  readonly slices?: readonly EndpointSlice[];
  readonly problems?: readonly Problem[];
  readonly ask: readonly [client: string, destination: string];
  /** What the node does otherwise than the rest of them. */
  readonly rules?: Partial<Rules>;
  /** The outcome, the reason, and what the first note or loser must say. */
  readonly says: readonly [outcome: string, reason: string, detail: RegExp];
}

const FAULTS: readonly Fault[] = [
  {
    fault: 'the selector matches no pod',
    services: [CART],
    ask: ['outside', 'cart:http'],
    says: ['refused', 'no-endpoints', /there is no EndpointSlice: the selector matches no pod/],
  },
  {
    fault: 'no pod is ready',
    services: [CART],
    slices: [slice([endpoint('10.244.1.7', { ...DEAD, podName: 'cart-a' })], { ports: PORTS })],
    ask: ['outside', 'cart:http'],
    says: ['refused', 'no-endpoints', /1 endpoint is not ready: cart-a/],
  },
  {
    fault: 'a port name differs',
    services: [CART],
    slices: [slice([HERE], { ports: [endpointPort({ name: 'web' })] })],
    ask: ['outside', 'cart:http'],
    says: ['refused', 'no-endpoints', /name the port "web", the Service names it "http"/],
  },
  {
    fault: 'a slice is in the wrong namespace',
    services: [CART],
    slices: [slice([HERE], { namespace: 'default', ports: PORTS })],
    ask: ['outside', 'cart:http'],
    says: [
      'refused',
      'no-endpoints',
      /EndpointSlice default\/cart-1 names a Service cart of another namespace/,
    ],
  },
  {
    fault: 'policy Local, no endpoint here',
    services: [{ ...BALANCER, externalTrafficPolicy: 'Local' }],
    slices: [slice([AWAY], { ports: PORTS })],
    ask: ['outside', '192.0.2.80:80'],
    says: ['dropped', 'no-local-endpoints', /ready endpoints are on node2/],
  },
  {
    fault: 'the source ranges exclude the client',
    services: [{ ...BALANCER, loadBalancerSourceRanges: [cidr('203.0.113.0/24')] }],
    slices: [SLICE],
    ask: ['outside', '192.0.2.80:80'],
    says: ['dropped', 'source-range', /allowed are 203\.0\.113\.0\/24/],
  },
  {
    fault: 'two Services on one external IP',
    services: [
      { ...CART, externalIPs: [ip('192.0.2.9')], created: 1 },
      service({
        name: 'late',
        ports: [HTTP],
        clusterIPs: { IPv4: ip('10.96.0.11') },
        externalIPs: [ip('192.0.2.9')],
        created: 2,
      }),
    ],
    slices: [SLICE],
    ask: ['outside', '192.0.2.9:80'],
    says: ['endpoint', 'forwarded', /shop\/late:?\w* \(external IP\): shop\/cart:http is older/],
  },
  {
    fault: 'two Services on one node port',
    services: [
      { ...BALANCER, created: 1 },
      service({
        name: 'late',
        type: 'NodePort',
        ports: [port({ name: 'http', nodePort: 30_080 })],
        clusterIPs: { IPv4: ip('10.96.0.11') },
        created: 2,
      }),
    ],
    slices: [SLICE],
    ask: ['outside', 'node:30080'],
    says: ['endpoint', 'forwarded', /shop\/late:http \(node port\): shop\/cart:http is older/],
  },
  {
    fault: 'ipMode Proxy where VIP was meant',
    services: [{ ...BALANCER, loadBalancerIngress: [{ ip: ip('192.0.2.80'), ipMode: 'Proxy' }] }],
    slices: [SLICE],
    ask: ['outside', '192.0.2.80:80'],
    says: ['not-a-service', 'no-service', /ipMode Proxy: the load balancer itself must see the packet/],
  },
  {
    fault: 'a wrong port of a Service',
    services: [CART],
    slices: [SLICE],
    ask: ['outside', '10.96.0.10:8080'],
    says: ['refused', 'unknown-port', /with ports 80\/TCP \(http\)/],
  },
  {
    fault: 'an address that a Service had once',
    services: [CART],
    slices: [SLICE],
    ask: ['outside', '10.96.7.7:80'],
    says: ['dropped', 'no-such-cluster-ip', /^$/],
  },
  {
    fault: 'a node port on the wrong address of the node',
    services: [BALANCER],
    slices: [SLICE],
    ask: ['outside', '172.17.0.1:30080'],
    says: ['node', 'node-port-not-here', /^$/],
  },
  {
    fault: 'a Service of another proxy',
    services: [{ ...CART, proxyName: 'cilium' }],
    slices: [SLICE],
    ask: ['outside', '10.96.0.10:80'],
    says: ['dropped', 'no-such-cluster-ip', /its label service-proxy-name gives it to cilium/],
  },
  {
    fault: 'a Service that was set aside',
    services: [],
    problems: [{ subject: 'Service shop/cart', message: 'spec.ports[0].port is 99999, must be 1 to 65535' }],
    ask: ['outside', '10.96.0.10:80'],
    says: ['dropped', 'no-such-cluster-ip', /set aside: Service shop\/cart: spec\.ports\[0\]\.port is 99999/],
  },
  {
    fault: 'the protocol differs',
    services: [CART],
    slices: [slice([HERE], { ports: [endpointPort({ name: 'http', protocol: 'UDP' })] })],
    ask: ['outside', 'cart:http'],
    says: ['refused', 'no-endpoints', /as UDP, the Service as TCP/],
  },
  {
    fault: 'endpoints of the other family only',
    services: [CART],
    slices: [slice([endpoint('fd00::7')], { family: 'IPv6', ports: PORTS })],
    ask: ['outside', 'cart:http'],
    says: ['refused', 'no-endpoints', /IPv6 only, the connection is IPv4/],
  },
  {
    fault: 'all endpoints are terminating',
    services: [CART],
    slices: [
      slice([endpoint('10.244.1.7', { ...DEAD, terminating: true, podName: 'cart-a' })], { ports: PORTS }),
    ],
    ask: ['outside', 'cart:http'],
    says: ['refused', 'no-endpoints', /1 endpoint is terminating: cart-a/],
  },
  {
    fault: 'internal policy Local, and the client is on another node than the endpoints',
    services: [{ ...CART, internalTrafficPolicy: 'Local' }],
    slices: [slice([AWAY], { ports: PORTS })],
    ask: ['node', 'cart:http'],
    says: ['dropped', 'no-local-endpoints', /ready endpoints are on node2/],
  },
  {
    fault: 'a node port on loopback where that is switched off',
    services: [BALANCER],
    slices: [SLICE],
    rules: { mode: 'iptables', localhostNodePorts: false, nodePortAddresses: ['127.0.0.0/8'] },
    ask: ['node', '127.0.0.1:30080'],
    says: ['node', 'localhost-node-port', /^$/],
  },
  {
    fault: 'SCTP in mode userspace',
    services: [service({ ports: [port({ name: 'http', protocol: 'SCTP' })] })],
    slices: [slice([HERE], { ports: [endpointPort({ name: 'http', protocol: 'SCTP' })] })],
    rules: { mode: 'userspace' },
    ask: ['outside', '10.96.0.10:80/SCTP'],
    says: ['refused', 'protocol-not-served', /^$/],
  },
];

/** No rule of kube-proxy's kind says what the cluster IPs are: packets to other addresses, or in mode iptables to other ports, go on. */
const NOBODYS = { iptables: ['not-a-service', 'no-service'], ipvs: ['not-a-service', 'no-service'] } as const;
/** Where a mode ends otherwise than the rest. The words that name the cause are the same. */
const OTHERWISE: Readonly<Record<string, Partial<Record<Mode, readonly [outcome: string, reason: string]>>>> =
  {
    'a wrong port of a Service': { iptables: ['not-a-service', 'unknown-port'] },
    'an address that a Service had once': NOBODYS,
    'a Service of another proxy': NOBODYS,
    'a Service that was set aside': NOBODYS,
  };

const HEAD = '| fault | reason | said by `penstock explain` |\n|---|---|---|\n';

function worldWith(services: readonly Service[], slices: readonly EndpointSlice[]): World {
  return nodeWorld(services, slices, {
    hostAddresses: ['192.168.0.2', '172.17.0.1'],
    serviceCIDRs: ['10.96.0.0/16'],
  });
}

t.test('each fault is named by one command, as docs/see.md shows', async (t) => {
  const rows: string[] = [];
  for (const { fault, services, slices = [], problems = [], rules: own = {}, ask, says } of FAULTS) {
    const world = worldWith(services, slices);
    const [client, destination] = ask;
    const rules: Rules = { ...RULES, ...own };
    const started = performance.now();
    const e = explain(world, rules, readFlow({ client, destination }, world, rules), problems);
    t.ok(performance.now() - started < 2000, 'within 2 s');
    const lost = e.losers.map(({ servicePort, as, because }) => `${servicePort} (${as}): ${because}`);
    const detail = e.notes[0] ?? lost[0] ?? '';
    t.strictSame([e.outcome, e.reason], says.slice(0, 2), fault);
    t.match(detail, says[2], fault);
    rows.push(`| ${fault} | \`${e.reason}\` | ${e.outcome}: ${detail === '' ? e.because : detail} |\n`);
  }
  const docs = readFileSync(fromRoot('docs/see.md'), 'utf8');
  t.ok(docs.includes(HEAD + rows.join('')), `docs/see.md lacks the table:\n${HEAD}${rows.join('')}`);
});

for (const mode of MODES)
  t.test(`each fault that can be there in mode ${mode} is named by the same words`, async (t) => {
    let named = 0;
    for (const { fault, services, slices = [], problems = [], rules: own = {}, ask, says } of FAULTS) {
      if (own.mode !== undefined && own.mode !== mode) continue;
      const world = worldWith(services, slices);
      const rules: Rules = { ...RULES, ...own, mode };
      const [client, destination] = ask;
      const e = explain(world, rules, readFlow({ client, destination }, world, rules), problems);
      const lost = e.losers.map(({ servicePort, as, because }) => `${servicePort} (${as}): ${because}`);
      t.strictSame([e.outcome, e.reason], OTHERWISE[fault]?.[mode] ?? says.slice(0, 2), fault);
      t.match(e.notes[0] ?? lost[0] ?? '', says[2], fault);
      named++;
    }
    t.ok(named >= FAULTS.length - 2, `${named} of ${FAULTS.length}`);
  });

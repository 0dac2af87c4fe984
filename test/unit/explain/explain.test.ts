/** What an explanation says: names, causes, who lost, and sentences for what cannot be made out. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { type Explanation, explain } from '../../../src/explain/explain.js';
import { readFlow, UnknownName } from '../../../src/explain/names.js';
import { REASONS } from '../../../src/explain/reasons.js';
import type { Rules, World } from '../../../src/explain/World.js';
import type { EndpointSlice } from '../../../src/objects/EndpointSlice.js';
import type { Service } from '../../../src/objects/Service.js';
import { cidr, endpoint, endpointPort, ip, port, service, slice } from '../../support/builders.js';
import { nodeWorld } from '../../support/explainWorld.js';
import { fromRoot } from '../../support/fromRoot.js';

const RULES: Rules = {
  mode: 'nftables',
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.244.0.0/16') } },
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortAddresses: [],
};
const CART = service({ ports: [port({ name: 'http' })] });
const CART_SLICE = slice(
  [
    endpoint('10.244.1.7', { podName: 'cart-a', nodeName: 'node1' }),
    endpoint('10.244.2.8', { podName: 'cart-b' }),
  ],
  { ports: [endpointPort({ name: 'http' })] },
);

function ask(client: string, destination: string, of: World, rules = RULES): Explanation {
  return explain(of, rules, readFlow({ client, destination }, of, rules));
}

t.test('names stand for addresses', async (t) => {
  const here = nodeWorld([CART], [CART_SLICE]);
  for (const destination of [
    'shop/cart:http',
    'cart:80',
    'cart.shop:http',
    'cart.shop.svc.cluster.local:80/TCP',
    'cart',
    '10.96.0.10:80',
  ]) {
    const e = ask('shop/cart-a', destination, here);
    t.strictSame(
      [e.outcome, e.service, e.servicePort, e.endpoints],
      ['endpoint', 'shop/cart', 'shop/cart:http', ['10.244.1.7:8080', '10.244.2.8:8080']],
      destination,
    );
    t.strictSame(e.client, { address: '10.244.1.7', is: 'pod', name: 'shop/cart-a' });
  }
  t.equal(ask('node', 'cart:http', here).client.address, '192.168.0.2');
  t.equal(ask('node1', 'cart:http', here).masquerade, true, 'the node is no pod');
  t.equal(ask('localhost', 'cart:http', here).client.address, '127.0.0.1');
  t.equal(ask('outside', 'node:30080', here).outcome, 'node');
  t.equal(ask('cart-b', 'cart:http', here).masquerade, false);
});

t.test('what cannot be made out is one sentence', async (t) => {
  const here = nodeWorld(
    [
      CART,
      service({ namespace: 'a', name: 'twin' }),
      service({ namespace: 'b', name: 'twin' }),
      service({ name: 'none', headless: true, clusterIPs: {} }),
    ],
    [CART_SLICE],
  );
  const rows: readonly [string, string, RegExp][] = [
    ['10.0.0.1', 'carts:80', /there is no Service carts; did you mean cart\?/],
    ['10.0.0.1', 'twin:80', /there are 2 Services twin: a\/twin, b\/twin/],
    ['10.0.0.1', 'none:80', /headless/],
    ['10.0.0.1', 'cart:https', /no port "https"; it has http = 80\/TCP/],
    ['10.0.0.1', '10.96.0.10', /the port is missing/],
    ['10.0.0.1', '10.96.0.10:0', /"0" is no port/],
    ['10.0.0.1', '10.96.0.10:99999', /no port/],
    ['10.0.0.1', '10.96.0.10:80/ICMP', /no protocol "ICMP"/],
    ['10.0.0.1', '10.96.0.300:80', /is no IP address/],
    ['10.0.0.1', '[fd00::1:80', /.+/],
    ['10.0.0.1', '', /no Service/],
    ['::1', '10.96.0.10:80', /the one is IPv6, the other IPv4/],
    ['shop/cart-x', 'cart:80', /did you mean shop\/cart-a\?/],
    ['nonsense-name', 'cart:80', /no address and no pod/],
    ['', 'cart:80', /no address/],
    ['1.2.3', 'cart:80', /is no IP address/],
  ];
  for (const [client, destination, expected] of rows) {
    t.throws(() => ask(client, destination, here), new UnknownName(''), `${client} ${destination}`);
    try {
      ask(client, destination, here);
    } catch (error) {
      t.match((error as Error).message, expected);
      t.notMatch((error as Error).message, /\n/);
    }
  }
});

t.test('why nobody can serve', async (t) => {
  const dead = { ready: false, serving: false, terminating: false };
  const rows: readonly [string, readonly EndpointSlice[], RegExp][] = [
    ['no slice', [], /there is no EndpointSlice: the selector matches no pod/],
    ['another namespace', [slice([endpoint('10.244.1.7')], { namespace: 'other' })], /of another namespace/],
    [
      'port name differs',
      [slice([endpoint('10.244.1.7')], { ports: [endpointPort({ name: 'web' })] })],
      /name the port "web", the Service names it "http"/,
    ],
    [
      'protocol differs',
      [slice([endpoint('10.244.1.7')], { ports: [endpointPort({ name: 'http', protocol: 'UDP' })] })],
      /as UDP, the Service as TCP/,
    ],
    [
      'not ready',
      [
        slice([endpoint('10.244.1.7', { ...dead, podName: 'cart-a' })], {
          ports: [endpointPort({ name: 'http' })],
        }),
      ],
      /1 endpoint is not ready: cart-a/,
    ],
    [
      'terminating',
      [
        slice([endpoint('10.244.1.7', { ...dead, terminating: true })], {
          ports: [endpointPort({ name: 'http' })],
        }),
      ],
      /1 endpoint is terminating/,
    ],
    [
      'the other family',
      [slice([endpoint('fd00::7')], { family: 'IPv6', ports: [endpointPort({ name: 'http' })] })],
      /IPv6 only, the connection is IPv4/,
    ],
    ['an empty slice', [slice([], { ports: [endpointPort({ name: 'http' })] })], /list no endpoint/],
    ['a slice without ports', [slice([], { ports: [] })], /have no port "http"/],
  ];
  for (const [name, slices, expected] of rows) {
    const e = ask('10.244.9.9', 'cart:http', nodeWorld([CART], slices));
    t.strictSame(
      [e.outcome, e.reason, e.isProblem, e.endpoints],
      ['refused', 'no-endpoints', true, []],
      name,
    );
    t.match(e.notes[0], expected, name);
  }
});

t.test('policy Local, source ranges, unknown ports, unused cluster IPs', async (t) => {
  const balancer = service({
    type: 'LoadBalancer',
    ports: [port({ name: 'http', nodePort: 30_080 })],
    loadBalancerIngress: [{ ip: ip('192.0.2.80'), ipMode: 'VIP' }],
    externalTrafficPolicy: 'Local',
    loadBalancerSourceRanges: [cidr('203.0.113.0/24')],
  });
  const away = slice([endpoint('10.244.2.8', { nodeName: 'node2' })], {
    ports: [endpointPort({ name: 'http' })],
  });
  const here = nodeWorld([balancer], [away], { serviceCIDRs: ['10.96.0.0/16'] });
  const local = ask('203.0.113.9', '192.0.2.80:80', here);
  t.strictSame(
    [local.outcome, local.reason, local.notes, local.policy],
    ['dropped', 'no-local-endpoints', ['ready endpoints are on node2'], 'Local'],
  );
  const range = ask('198.51.100.9', '192.0.2.80:80', here);
  t.strictSame(
    [range.outcome, range.reason, range.notes, range.clientInSourceRanges],
    ['dropped', 'source-range', ['allowed are 203.0.113.0/24'], false],
  );
  const unknown = ask('10.244.9.9', '10.96.0.10:81', here);
  t.strictSame([unknown.outcome, unknown.reason, unknown.service], ['refused', 'unknown-port', 'shop/cart']);
  t.match(unknown.notes[0], /has this address as cluster IP, with ports 80\/TCP \(http\)/);
  const asIptables = ask('10.244.9.9', '10.96.0.10:81', here, { ...RULES, mode: 'iptables' });
  t.strictSame(
    [asIptables.outcome, asIptables.reason],
    ['not-a-service', 'unknown-port'],
    'mode iptables lets it pass',
  );
  const unused = ask('10.244.9.9', '10.96.7.7:80', here);
  t.strictSame([unused.outcome, unused.reason], ['dropped', 'no-such-cluster-ip']);
  t.equal(ask('203.0.113.9', '8.8.8.8:53/UDP', here).reason, 'no-service');
  t.match(ask('203.0.113.9', '10.244.2.8:8080', here).notes[0], /address of an endpoint of shop\/cart/);
  const notHere = ask('outside', 'node:30080', here, { ...RULES, nodePortAddresses: ['10.9.0.0/16'] });
  t.strictSame([notHere.outcome, notHere.reason], ['node', 'node-port-not-here']);
});

t.test('who loses an address is named, and who is not served', async (t) => {
  const young = service({
    name: 'young',
    created: 2,
    clusterIPs: { IPv4: ip('10.96.0.20') },
    externalIPs: [ip('192.0.2.9')],
  });
  const old = service({
    name: 'old',
    created: 1,
    clusterIPs: { IPv4: ip('10.96.0.21') },
    externalIPs: [ip('192.0.2.9')],
  });
  const e = ask('outside', '192.0.2.9:80', nodeWorld([young, old]));
  t.equal(e.service, 'shop/old');
  t.strictSame(e.losers, [{ servicePort: 'shop/young', as: 'external IP', because: 'shop/old is older' }]);
  const foreign = ask('outside', '192.0.2.9:80', nodeWorld([{ ...young, proxyName: 'cilium' }]));
  t.match(foreign.notes[0], /gives it to cilium/);
});

t.test('weights, hairpin, terminating endpoints', async (t) => {
  const weighted = service({ ...CART, options: { weights: '{"10.244.1.7": 3, "10.244.2.8": 0}' } });
  const e = ask('10.244.9.9', 'cart:http', nodeWorld([weighted], [CART_SLICE]));
  t.strictSame(e.endpoints, ['10.244.1.7:8080']);
  t.strictSame(
    e.candidates.map(({ gets, share, out }) => [gets, share, out]),
    [
      [true, 1, ''],
      [false, 0, 'weight 0'],
    ],
  );
  const barred = service({
    ...CART,
    type: 'LoadBalancer',
    loadBalancerIngress: [{ ip: ip('192.0.2.80'), ipMode: 'VIP' }],
    loadBalancerSourceRanges: [cidr('198.51.100.0/24')],
  });
  const kept = ask('203.0.113.9', '192.0.2.80:80', nodeWorld([barred], [CART_SLICE]));
  t.equal(kept.reason, 'source-range');
  t.strictSame([...new Set(kept.candidates.map(({ out }) => out))], ['nothing: the packet ends before']);
  const elsewhere = ask('10.244.9.9', `${CART.clusterIPs.IPv4}:81`, nodeWorld([CART], [CART_SLICE]));
  t.strictSame([elsewhere.reason, elsewhere.candidates], ['unknown-port', []]);
  const single = slice([endpoint('10.244.1.7', { nodeName: 'node1' })], {
    ports: [endpointPort({ name: 'http' })],
  });
  const hairpin = ask('10.244.1.7', 'cart:http', nodeWorld([CART], [single]));
  t.strictSame([hairpin.masquerade, hairpin.seenSource], [true, 'node node1']);
  t.match(hairpin.masqueradeBecause, /hairpin/);
  const leaving = slice([endpoint('10.244.1.7', { ready: false, serving: true, terminating: true })], {
    ports: [endpointPort({ name: 'http' })],
  });
  t.match(
    ask('10.244.9.9', 'cart:http', nodeWorld([CART], [leaving])).notes[0],
    /terminating serve to the end/,
  );
});

t.test('every reason has its chapter', async (t) => {
  const docs = readFileSync(fromRoot('docs/see.md'), 'utf8');
  for (const reason of Object.keys(REASONS)) t.match(docs, new RegExp(`^#### ${reason}$`, 'm'), reason);
});

t.test('a pod that reaches itself: one set of all Services says what runs here', async (t) => {
  const itself = [endpoint('10.244.2.8', { podName: 'cart-b', nodeName: 'node2' })];
  const [other] = [
    service({ name: 'other', clusterIPs: { IPv4: ip('10.96.0.11') }, ports: [port({ name: 'http' })] }),
  ];
  const ports = [endpointPort({ name: 'http' })];
  const elsewhere = slice(itself, { ports });
  const here = slice([endpoint('10.244.2.8', { podName: 'cart-b', nodeName: 'node1' })], {
    name: 'other-1',
    serviceName: 'other',
    ports,
  });
  const masquerades = (
    mode: Rules['mode'],
    slices: readonly EndpointSlice[],
    services = [CART, other as Service],
  ) => ask('10.244.2.8', 'cart:http', nodeWorld(services, slices), { ...RULES, mode }).masquerade;
  t.equal(masquerades('nftables', [elsewhere]), false, 'it does not run here');
  t.equal(
    masquerades('nftables', [elsewhere, here]),
    true,
    'another Service has it as an endpoint that does',
  );
  t.equal(masquerades('ipvs', [elsewhere, here]), true, 'the same port');
  t.equal(
    masquerades('nftables', [elsewhere, here], [CART]),
    false,
    'a slice without its Service is in no set',
  );
  t.equal(masquerades('userspace', [elsewhere]), true, 'the proxy connects from another address anyway');
});

t.test('mode userspace tells pods by their range alone', async (t) => {
  const seen = (
    client: string,
    sourceAddress: 'auto' | 'transparent',
    detectLocal: Rules['detectLocal'],
    more = {},
  ) =>
    ask(client, '10.96.0.10:80', nodeWorld([CART], [CART_SLICE]), {
      ...RULES,
      mode: 'userspace',
      sourceAddress,
      detectLocal,
      ...more,
    }).masquerade;
  const bridge: Rules['detectLocal'] = { type: 'BridgeInterface', name: 'cni0' };
  t.equal(seen('203.0.113.9', 'transparent', RULES.detectLocal), true, 'outside of the range');
  t.equal(seen('203.0.113.9', 'transparent', bridge), false, 'no range: nobody is told from a pod');
  t.equal(seen('203.0.113.9', 'transparent', bridge, { masqueradeAll: true }), true);
  t.equal(seen('10.244.2.9', 'auto', bridge), true, 'careful: answers might go another way');
  t.equal(
    seen('10.244.2.9', 'auto', { type: 'ClusterCIDR', cidrs: {} }),
    true,
    'a range of the other family is none',
  );
  t.equal(seen('10.244.2.9', 'auto', RULES.detectLocal), false);
});

t.test('a node where packets arrive leads them on to nodes with endpoints', async (t) => {
  const local = service({
    ...CART,
    type: 'LoadBalancer',
    externalTrafficPolicy: 'Local',
    loadBalancerIngress: [{ ip: ip('192.0.2.80'), ipMode: 'VIP' }],
  });
  const on = (nodeName: string, address: string, more = {}) => endpoint(address, { nodeName, ...more });
  const there = slice(
    [
      on('node2', '10.244.2.1'),
      on('node2', '10.244.2.2'),
      on('node3', '10.244.3.1'),
      on('node3', '10.244.3.2', { ready: false, serving: true, terminating: true }),
      on('node4', '10.244.4.1'),
    ],
    { ports: [endpointPort({ name: 'http' })] },
  );
  const shares = new Map([
    ['node2', 0.6],
    ['node3', 0.4],
  ]);
  const ledOn: World['ledOn'] = (address, protocol, number) =>
    address === '192.0.2.80' && protocol === 'TCP' && number === 80 ? shares : undefined;
  const here = nodeWorld([local], [there], { ledOn });
  const said = ask('203.0.113.9', '192.0.2.80:80', here);
  t.match(said, { outcome: 'endpoint', policy: 'Local', masquerade: false, seenSource: '203.0.113.9' });
  t.strictSame(
    said.candidates.map(({ endpoint: target, share, out }) => [target, Math.round(share * 100), out]),
    [
      ['10.244.2.1:8080', 30, ''],
      ['10.244.2.2:8080', 30, ''],
      ['10.244.3.1:8080', 40, ''],
      ['10.244.3.2:8080', 0, 'terminating, and others are ready'],
      ['10.244.4.1:8080', 0, 'on node node4 (policy Local)'],
    ],
  );
  t.strictSame(said.notes, ['tier 1 on this node leads connections on: node2 60 %, node3 40 %']);
  t.equal(ask('203.0.113.9', '192.0.2.80:80', nodeWorld([local], [there])).reason, 'no-local-endpoints');
  const gone = nodeWorld([local], [there], { ledOn: () => new Map([['node5', 1]]) });
  t.equal(ask('203.0.113.9', '192.0.2.80:80', gone).reason, 'no-local-endpoints', 'nobody serves there');
  t.equal(ask('10.244.9.9', '192.0.2.80:80', here).policy, 'Cluster', 'a pod does not arrive from outside');
});

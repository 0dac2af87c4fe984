/** Services that sleep, and Services whose connections are counted: what explain says of both. */
import t from 'tap';
import { explanationText } from '../../../src/cli/see/explainText.js';
import { type Explanation, explain } from '../../../src/explain/explain.js';
import { readFlow } from '../../../src/explain/names.js';
import type { Rules, World } from '../../../src/explain/World.js';
import type { Service } from '../../../src/objects/Service.js';
import { cidr, endpoint, endpointPort, ip, port, service, slice } from '../../support/builders.js';
import { nodeWorld } from '../../support/explainWorld.js';

const RULES: Rules = {
  mode: 'nftables',
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.244.0.0/16') } },
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortAddresses: [],
};
const CART = service({ ports: [port({ name: 'http' })] });
const CART_SLICE = slice([endpoint('10.244.1.7', { nodeName: 'node1' }), endpoint('10.244.2.8')], {
  ports: [endpointPort({ name: 'http' })],
});

function ask(client: string, destination: string, of: World, rules = RULES): Explanation {
  return explain(of, rules, readFlow({ client, destination }, of, rules));
}

t.test('a Service that sleeps: who waits, and who is refused all the same', async (t) => {
  const ports = [port({ name: 'http', nodePort: 30_080 })];
  const options = { wake: 'hold', 'wake-target': 'deployment/web', 'wake-timeout': '30s' };
  const sleepy = service({ options, ports, type: 'NodePort' });
  const asleep = nodeWorld([sleepy], [], { hostAddresses: ['192.168.0.2', '10.9.9.9'] });
  const MODES = ['nftables', 'iptables', 'userspace', 'ipvs'] as const;
  for (const mode of MODES) {
    for (const [client, destination] of [
      ['outside', 'cart:http'],
      ['10.244.1.1', 'cart:http'],
      ['outside', 'node:30080'],
    ] as const) {
      const e = ask(client, destination, asleep, { ...RULES, mode });
      const name = `${mode}: ${client} to ${destination}`;
      if (mode === 'ipvs') {
        t.strictSame([e.outcome, e.reason, e.isProblem], ['refused', 'no-endpoints', true], name);
        t.match(e.notes[0], /asleep, but mode ipvs holds no packets/);
        t.match(e.remedy, /Start deployment\/web, use mode nftables.*wake: accept/);
        continue;
      }
      t.strictSame([e.outcome, e.reason, e.isProblem, e.remedy], ['endpoint', 'asleep', false, ''], name);
      t.strictSame([e.endpoints, e.candidates, e.service, e.seenSource], [[], [], 'shop/cart', '']);
      t.strictSame(e.notes.slice(0, 2), [
        'it waits, and wakes deployment/web',
        'if nobody is ready in 30s it is dropped, and the Service refuses for 10 s',
      ]);
      t.match(e.because, /sleeps: its first packet waits/);
      t.match(explanationText(e).join('\n'), /waits until an endpoint is ready \[asleep\]/);
    }
    if (mode === 'ipvs') continue;
    const own = ask('node', 'cart:http', asleep, { ...RULES, mode });
    t.strictSame([own.outcome, own.isProblem], ['refused', true], `${mode}: the node itself`);
    t.match(own.notes[0], /from elsewhere is held and wakes deployment\/web/);
    t.match(own.remedy, /penstock\.wake\.ownPackets: true/);
    t.equal(
      ask('node', 'cart:http', asleep, { ...RULES, mode, ownPacketsWake: true }).reason,
      'asleep',
      mode,
    );
    const elsewhere = { ...RULES, mode, nodePortAddresses: ['192.168.0.0/24'] };
    t.equal(ask('outside', '192.168.0.2:30080', asleep, elsewhere).reason, 'asleep', mode);
    t.not(ask('outside', '10.9.9.9:30080', asleep, elsewhere).outcome, 'endpoint', mode);
  }
  t.strictSame(
    ask('outside', 'cart:http', nodeWorld([CART])).notes.filter((note) => note.includes('asleep')),
    [],
  );
  const unready = slice([endpoint('10.244.1.7', { ready: false })], {
    ports: [endpointPort({ name: 'http' })],
  });
  const waking = ask('outside', 'cart:http', nodeWorld([sleepy], [unready]));
  t.strictSame([waking.reason, waking.candidates[0]?.out], ['asleep', 'not ready']);
  t.match(waking.notes.at(-1), /1 endpoint is not ready/);
  t.equal(ask('outside', 'cart:http', nodeWorld([sleepy], [CART_SLICE])).reason, 'forwarded');
  const nameless = service({ options: { wake: 'hold' }, ports });
  t.match(ask('outside', 'cart:http', nodeWorld([nameless])).notes[0], /names nobody to start/);
  const sctp = service({ options, ports: [port({ name: 'http', protocol: 'SCTP' })] });
  t.match(ask('outside', '10.96.0.10:80/SCTP', nodeWorld([sctp])).notes[0], /SCTP are not held/);
});

t.test('a Service that sleeps wakes to those in its source ranges only', async (t) => {
  const ranged = service({
    type: 'LoadBalancer',
    options: { wake: 'hold' },
    ports: [port({ name: 'http' })],
    loadBalancerIngress: [{ ip: ip('192.0.2.80'), ipMode: 'VIP' }],
    loadBalancerSourceRanges: [cidr('203.0.113.0/24')],
  });
  for (const mode of ['nftables', 'iptables', 'userspace'] as const) {
    const rules = { ...RULES, mode };
    t.equal(ask('203.0.113.9', '192.0.2.80:80', nodeWorld([ranged]), rules).reason, 'asleep', mode);
    const other = ask('198.51.100.9', '192.0.2.80:80', nodeWorld([ranged]), rules);
    t.equal(other.outcome, mode === 'iptables' ? 'refused' : 'dropped', mode);
    t.match(other.remedy, /loadBalancerSourceRanges/, mode);
  }
});

t.test('where connections are counted, shares are said to be no promise', async (t) => {
  const notes = (options: Service['options']) =>
    ask(
      'outside',
      'cart:http',
      nodeWorld([service({ options, ports: [port({ name: 'http' })] })], [CART_SLICE]),
    ).notes;
  t.match(notes({ algorithm: 'least-connections' })[0], /least-connections: who has the fewest connections/);
  t.strictSame(notes({ algorithm: 'round-robin' }), []);
  t.strictSame(notes({}), []);
});

t.test('a Service that accepts while it sleeps: in all modes, TCP alone', async (t) => {
  const options = { wake: 'accept', 'wake-target': 'deployment/web', 'wake-timeout': '30s' };
  const asleep = nodeWorld([service({ options, ports: [port({ name: 'http' })] })]);
  for (const mode of ['nftables', 'iptables', 'userspace', 'ipvs'] as const) {
    const e = ask('outside', 'cart:http', asleep, { ...RULES, mode });
    t.strictSame([e.outcome, e.reason], ['endpoint', 'asleep'], mode);
    t.match(e.notes[1], /accepted at once, and reset if nobody is ready in 30s/);
  }
  const udp = nodeWorld([service({ options, ports: [port({ name: 'dns', protocol: 'UDP', port: 53 })] })]);
  t.equal(ask('outside', 'cart:53/UDP', udp).reason, 'asleep', 'held');
  t.equal(ask('outside', 'cart:53/UDP', udp, { ...RULES, mode: 'ipvs' }).outcome, 'refused');
  for (const [range, text] of [
    ['0.0.0.0/0', /accepted at once/],
    ['2001:db8::/32', /accepted at once/],
    ['203.0.113.0/24', /it is dropped/],
  ] as const) {
    const ranged = service({
      options,
      ports: [port({ name: 'http' })],
      loadBalancerSourceRanges: [cidr(range)],
    });
    t.match(ask('outside', 'cart:http', nodeWorld([ranged])).notes[1], text, range);
  }
});

/** A Service that sleeps beside rules of others, which hold no packets: told, and neither counted nor called worse. */
import { test } from 'tap';
import { servicesThatDiffer } from '../../../src/cli/migrate/servicesThatDiffer.js';
import { compareModes } from '../../../src/compare/compareModes.js';
import { compareRules } from '../../../src/compare/compareRules.js';
import { lossesOf } from '../../../src/compare/losses.js';
import { readRules } from '../../../src/compare/readRules.js';
import type { Rules, World } from '../../../src/explain/World.js';
import type { Cidr } from '../../../src/net/ip.js';
import { port, service } from '../../support/builders.js';

const RULES: Rules = {
  mode: 'iptables',
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: '10.244.0.0/16' as Cidr } },
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortAddresses: [],
};
const worldWith = (options: Readonly<Record<string, string>>): World => ({
  services: [service({ options, ports: [port({ name: 'http' })] })],
  slices: [],
  nodeName: 'node1',
  zone: '',
  nodeAddresses: { IPv4: '192.168.0.2' },
  podCIDRs: { IPv4: '10.244.0.0/24' },
  hostAddresses: ['192.168.0.2'],
});
/** As kube-proxy refuses what has no endpoints. */
const REFUSES = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "shop/cart:http has no endpoints" -m tcp --dport 80 -j REJECT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
COMMIT
`;

function otherRules(world: World) {
  const files = [{ name: 'iptables-save', text: REFUSES }];
  return readRules(
    { iptablesSave: files, ipset: undefined, ipvsadm: undefined, nft: undefined },
    world,
    RULES,
  );
}

test('rules that refuse are no difference that counts, and no loss', async (t) => {
  const world = worldWith({ wake: 'hold' });
  const comparison = compareRules(world, RULES, otherRules(world));
  t.ok(comparison.differences.length > 0);
  for (const { ours, theirs, meant } of comparison.differences) {
    t.strictSame([ours.otherwise, theirs.otherwise], [['held until an endpoint is ready'], ['refused']]);
    t.match(meant, /annotation wake/);
  }
  t.strictSame(lossesOf(comparison), []);
  t.strictSame(compareRules(worldWith({}), RULES, otherRules(world)).differences, []);
});

test('migrate notes it, and calls for nobody', async (t) => {
  const world = worldWith({ wake: 'hold' });
  const remarks = servicesThatDiffer({ world, rules: RULES, problems: [], other: otherRules(world) });
  t.ok(remarks.some(({ text }) => /now refused, then held until an endpoint is ready/.test(text)));
  t.ok(remarks.every(({ level }) => level === 'note'));
});

test('mode ipvs holds none, and the node itself is refused in all', async (t) => {
  const { differences } = compareModes(
    worldWith({ wake: 'hold' }),
    { ...RULES, mode: 'nftables' },
    { ...RULES, mode: 'ipvs' },
  );
  t.ok(differences.length > 0);
  for (const { question, ours, theirs } of differences) {
    t.not(question.client.origin, 'node');
    t.strictSame([ours.otherwise, theirs.otherwise], [['held until an endpoint is ready'], ['refused']]);
  }
});

/** Whose rules are whose, where penstock in mode ipvs waits for kube-proxy in mode iptables: both have chains of the same names. */
import t from 'tap';
import { otherProxyRules } from '../../../../src/agent/leave/otherProxyRules.js';
import { IptablesTracer } from '../../../../src/compare/iptables/IptablesTracer.js';
import { readSave } from '../../../../src/compare/iptables/readSave.js';
import type { IpAddress } from '../../../../src/net/ip.js';

const THEIRS = [
  '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  '-A KUBE-SERVICES -d 172.30.0.1/32 -p tcp -m comment --comment "shop/cart:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-A',
  '-A KUBE-SVC-A -m comment --comment "shop/cart:http -> 10.1.0.1:8080" -j KUBE-SEP-A',
  '-A KUBE-SEP-A -p tcp -m comment --comment "shop/cart:http" -m tcp -j DNAT --to-destination 10.1.0.1:8080',
];
/** Of mode ipvs, before and between them. */
const OURS = [
  '-A PREROUTING -j PENSTOCK-POLICY',
  '-A PREROUTING -s 127.0.0.0/8 -d 127.0.0.0/8 -p tcp -m set --match-set PENSTOCK-REFUSED-TCP dst -j RETURN',
  '-A KUBE-SERVICES -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" -m set --match-set KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ',
  '-A PENSTOCK-POLICY -m mark --mark 0x1 -j RETURN',
  '-A PENSTOCK-POLICY -j SET --map-set PENSTOCK-CLUSTER-CLIENTS dst,dst --map-mark',
];
const saved = (rules: readonly string[]) => {
  const chains = new Set(
    rules.flatMap((rule) => rule.match(/(?<=-A |-j )(PREROUTING|(KUBE|PENSTOCK)-\S+)/g) ?? []),
  );
  return ['*nat', ...[...chains].map((chain) => `:${chain} - [0:0]`), ...rules, 'COMMIT', ''].join('\n');
};

/** What the programs of a node print; `ipvsadm` would list our own virtual servers. */
const node = (rules: readonly string[]) => async (program: string) => ({
  stdout:
    program === 'iptables-save' ? saved(rules) : program === 'ipvsadm' ? '-A -t 172.30.0.1:80 -s rr\n' : '',
  stderr: '',
  status: 0,
  milliseconds: 0,
});

t.test('in mode ipvs the rules of mode ipvs are not taken for the other proxy, nor in its way', async (t) => {
  const { iptablesSave, ipvsadm } = await otherProxyRules('ipvs', false, node([...OURS, ...THEIRS]));
  t.equal(ipvsadm, undefined);
  const [text] = iptablesSave.map((each) => each.text);
  t.notMatch(text, /PENSTOCK-|match-set|map-set/);
  for (const rule of THEIRS) t.ok(text?.includes(rule), rule);
  const flow = {
    origin: 'external',
    source: '192.0.2.1' as IpAddress,
    interface: 'eth0',
    protocol: 'TCP',
    destination: '172.30.0.1' as IpAddress,
    port: 80,
  } as const;
  const world = { isLocal: () => false };
  const reach = new IptablesTracer(readSave(text ?? '', 'a'), world).trace(flow);
  t.same([...reach.endpoints.keys()], ['10.1.0.1:8080']);
  t.throws(
    () => new IptablesTracer(readSave(saved([...OURS, ...THEIRS]), 'a'), world).trace(flow),
    'as it stands, nobody can say',
  );
});

t.test('its own rules alone are no other proxy', async (t) => {
  await t.rejects(otherProxyRules('ipvs', false, node(OURS)), { code: 'PENSTOCK_RULES_UNREADABLE' });
});

t.test('in another mode sets are the other proxy\u2019s', async (t) => {
  const { iptablesSave, ipvsadm } = await otherProxyRules('nftables', false, node([...OURS, ...THEIRS]));
  t.match(ipvsadm?.text, /^-A -t/);
  t.match(iptablesSave[0]?.text, /match-set KUBE-CLUSTER-IP/);
});

t.test(
  'two proxies in mode ipvs: what is there is the other\u2019s once that one writes the chains',
  async (t) => {
    await t.rejects(otherProxyRules('ipvs', false, node(OURS)), { code: 'PENSTOCK_RULES_UNREADABLE' });
    const { iptablesSave, ipvsadm, ipset } = await otherProxyRules('ipvs', true, node(OURS));
    t.match(ipvsadm?.text, /^-A -t/);
    t.ok(ipset);
    t.match(iptablesSave[0]?.text, /match-set KUBE-CLUSTER-IP/);
    t.notMatch(iptablesSave[0]?.text, /PENSTOCK-/, 'what kube-proxy does not have is not taken for its own');
  },
);

t.test('in mode ipvs, another that writes chains of Services is in mode iptables', async (t) => {
  const { ipvsadm, iptablesSave } = await otherProxyRules('ipvs', true, node([...OURS, ...THEIRS]));
  t.equal(ipvsadm, undefined);
  t.match(iptablesSave[0]?.text, /KUBE-SVC-A/);
});

t.test(
  'in mode iptables, virtual servers alone are not enough: kube-proxy writes its rules after them',
  async (t) => {
    await t.rejects(otherProxyRules('iptables', false, node(THEIRS)), { code: 'PENSTOCK_RULES_UNREADABLE' });
    t.match((await otherProxyRules('iptables', true, node(OURS))).ipvsadm?.text, /^-A -t/);
  },
);

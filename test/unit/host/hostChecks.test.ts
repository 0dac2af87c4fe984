/** What stands in the way on a host: each check with and without its cause. */
import t from 'tap';
import { checkHost, type HostView } from '../../../src/host/hostChecks.js';

/** A host without faults, but for the given files. */
function host(files: Record<string, string>, chains: Record<string, string> = {}): HostView {
  const usual: Record<string, string> = {
    '/proc/sys/net/ipv4/ip_forward': '1',
    '/proc/sys/net/ipv6/conf/all/forwarding': '1',
    '/proc/sys/net/ipv4/conf/all/rp_filter': '0',
    '/proc/sys/net/ipv4/conf/default/rp_filter': '2',
    '/proc/sys/net/netfilter/nf_conntrack_count': '10',
    '/proc/sys/net/netfilter/nf_conntrack_max': '1000',
    '/proc/sys/net/ipv4/ip_local_port_range': '32768\t60999',
    '/proc/sys/net/ipv4/ip_local_reserved_ports': '',
    '/proc/sys/net/ipv4/conf/all/route_localnet': '0',
  };
  const all: Record<string, string> = { ...usual, ...files };
  return {
    read: (path) => all[path],
    list: (path) => [
      ...new Set(
        Object.keys(all).flatMap((name) =>
          name.startsWith(`${path}/`) ? [name.slice(path.length + 1).split('/')[0] ?? ''] : [],
        ),
      ),
    ],
    filterChain: async (family, chain) => chains[`${family} ${chain}`],
  };
}

const CASES: readonly (readonly [string, HostView, RegExp])[] = [
  ['no IPv4 forwarding', host({ '/proc/sys/net/ipv4/ip_forward': '0' }), /^net\.ipv4\.ip_forward is 0/],
  [
    'no IPv6 forwarding',
    host({ '/proc/sys/net/ipv6/conf/all/forwarding': '0' }),
    /^net\.ipv6\.conf\.all\.forwarding is 0/,
  ],
  [
    'strict reverse paths',
    host({ '/proc/sys/net/ipv4/conf/default/rp_filter': '1' }),
    /default\.rp_filter is 1/,
  ],
  [
    'bridged packets that iptables does not see',
    host({ '/sys/class/net/cni0/bridge/x': '', '/proc/sys/net/bridge/bridge-nf-call-iptables': '0' }),
    /bridge-nf-call-iptables is 0/,
  ],
  [
    'a full connection table',
    host({ '/proc/sys/net/netfilter/nf_conntrack_count': '900' }),
    /^900 of 1000 connections/,
  ],
  [
    'clients among node ports',
    host({ '/proc/sys/net/ipv4/ip_local_port_range': '1024 65535' }),
    /^local ports 1024-65535 overlap/,
  ],
  ['route_localnet', host({ '/proc/sys/net/ipv4/conf/all/route_localnet': '1' }), /CVE-2020-8558/],
  [
    'forwarding dropped',
    host({}, { 'IPv4 FORWARD': '-P FORWARD DROP\n-A FORWARD -j DOCKER\n' }),
    /^iptables drops .* in FORWARD/,
  ],
  ['IPv6 forwarding dropped', host({}, { 'IPv6 FORWARD': '-P FORWARD DROP\n' }), /^ip6tables drops/],
];

const FINE: readonly (readonly [string, HostView])[] = [
  ['a usual host', host({})],
  [
    'a host that shows nothing',
    { read: () => undefined, list: () => [], filterChain: async () => undefined },
  ],
  [
    'a bridge whose packets are seen',
    host({ '/sys/class/net/cni0/bridge/x': '', '/proc/sys/net/bridge/bridge-nf-call-iptables': '1' }),
  ],
  ['no bridge', host({ '/sys/class/net/eth0/mtu': '', '/proc/sys/net/bridge/bridge-nf-call-iptables': '0' })],
  [
    'reserved node ports',
    host({
      '/proc/sys/net/ipv4/ip_local_port_range': '1024 65535',
      '/proc/sys/net/ipv4/ip_local_reserved_ports': '30000-32767',
    }),
  ],
  [
    'forwarding dropped, but not for translated connections',
    host({}, { 'IPv4 FORWARD': '-P FORWARD DROP\n-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\n' }),
  ],
];

t.test('each fault is found, with a remedy', async (t) => {
  for (const [name, view, words] of CASES) {
    const findings = await checkHost(view);
    t.equal(findings.length, 1, name);
    t.match(findings[0]?.text, words);
    t.ok(findings[0]?.remedy, 'it says what to do');
  }
});

t.test('nothing is said of what is right', async (t) => {
  for (const [name, view] of FINE) t.same(await checkHost(view), [], name);
});

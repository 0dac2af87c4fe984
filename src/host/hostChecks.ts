/** What on a host stands in the way of Services, whatever the proxy. Reads only; each check is about one thing. */

/** How the checks see the host; undefined: not there, or not for us to see. */
export interface HostView {
  /** A file, trimmed. */
  readonly read: (path: string) => string | undefined;
  /** Names in a folder. */
  readonly list: (path: string) => readonly string[];
  /** Rules of a chain of table filter, as `iptables -S` prints them. */
  readonly filterChain: (family: 'IPv4' | 'IPv6', chain: string) => Promise<string | undefined>;
}

export interface Finding {
  /** What is so. */
  readonly text: string;
  /** What to do about it. */
  readonly remedy: string;
}

type Check = (host: HostView) => readonly Finding[] | Promise<readonly Finding[]>;

const sysctl = (host: HostView, name: string) => host.read(`/proc/sys/${name.replaceAll('.', '/')}`);

const forwarding: Check = (host) =>
  (['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'] as const)
    .filter((name) => sysctl(host, name) === '0')
    .map((name) => ({
      text: `${name} is 0: connections from outside to pods are not forwarded`,
      remedy: `sysctl -w ${name}=1`,
    }));

/** Interfaces that come and go with pods are left out: the setting of `default` is theirs. */
const reversePaths: Check = (host) =>
  ['all', 'default']
    .filter((name) => sysctl(host, `net.ipv4.conf.${name}.rp_filter`) === '1')
    .map((name) => ({
      text: `net.ipv4.conf.${name}.rp_filter is 1: answers that come back another way than they went are dropped`,
      remedy: `sysctl -w net.ipv4.conf.${name}.rp_filter=2 where pods or load balancers use several paths`,
    }));

const bridges: Check = (host) => {
  const hasBridge = host
    .list('/sys/class/net')
    .some((name) => host.list(`/sys/class/net/${name}/bridge`).length > 0);
  if (!hasBridge || sysctl(host, 'net.bridge.bridge-nf-call-iptables') !== '0') return [];
  return [
    {
      text: 'net.bridge.bridge-nf-call-iptables is 0: answers between pods of one bridge bypass the address translation',
      remedy:
        'sysctl -w net.bridge.bridge-nf-call-iptables=1, unless pods only know the node as their neighbour',
    },
  ];
};

const connections: Check = (host) => {
  const count = Number(sysctl(host, 'net.netfilter.nf_conntrack_count'));
  const most = Number(sysctl(host, 'net.netfilter.nf_conntrack_max'));
  if (!(count > most * 0.8)) return [];
  return [
    {
      text: `${count} of ${most} connections are tracked: when the table is full, new ones are dropped`,
      remedy: 'raise conntrack.min or conntrack.maxPerCore in the configuration',
    },
  ];
};

/** The range of kube-apiserver's --service-node-port-range. */
const NODE_PORTS = { first: 30_000, last: 32_767 };

const localPorts: Check = (host) => {
  const [first = 0, last = 0] = (sysctl(host, 'net.ipv4.ip_local_port_range') ?? '').split(/\s+/).map(Number);
  const reserved = sysctl(host, 'net.ipv4.ip_local_reserved_ports') ?? '';
  const overlaps = first <= NODE_PORTS.last && last >= NODE_PORTS.first;
  if (!overlaps || reserved.includes(`${NODE_PORTS.first}-${NODE_PORTS.last}`)) return [];
  return [
    {
      text: `local ports ${first}-${last} overlap the node ports: a client of this host may be given one of them`,
      remedy: `sysctl -w net.ipv4.ip_local_reserved_ports=${NODE_PORTS.first}-${NODE_PORTS.last}`,
    },
  ];
};

const routeLocalnet: Check = (host) =>
  sysctl(host, 'net.ipv4.conf.all.route_localnet') === '1'
    ? [
        {
          text: 'net.ipv4.conf.all.route_localnet is 1: neighbours may reach services on 127.0.0.1 (CVE-2020-8558)',
          remedy: 'mode nftables does not need it; sysctl -w net.ipv4.conf.all.route_localnet=0',
        },
      ]
    : [];

/** A verdict of our table cannot overrule a drop of another. */
const forwardPolicy: Check = async (host) => {
  const findings: Finding[] = [];
  for (const [family, program] of [
    ['IPv4', 'iptables'],
    ['IPv6', 'ip6tables'],
  ] as const) {
    const rules = await host.filterChain(family, 'FORWARD');
    if (!rules?.includes('-P FORWARD DROP') || /--ctstate \S*DNAT\S* -j ACCEPT|KUBE-FORWARD/.test(rules))
      continue;
    findings.push({
      text: `${program} drops what it does not know in FORWARD: in mode nftables, connections from outside to pods may not pass`,
      remedy: `${program} -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT`,
    });
  }
  return findings;
};

const CHECKS: readonly Check[] = [
  forwarding,
  reversePaths,
  bridges,
  connections,
  localPorts,
  routeLocalnet,
  forwardPolicy,
];

export async function checkHost(host: HostView): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const check of CHECKS) findings.push(...(await check(host)));
  return findings;
}

/** Names, numbers and texts as kube-proxy's, from its own tests where those have them. */
import t from 'tap';
import { NO_RULES } from '../../../../../src/dataplane/iptables/plan/ExistingRules.js';
import { planFull } from '../../../../../src/dataplane/iptables/plan/planFull.js';
import * as chain from '../../../../../src/dataplane/iptables/rules/chains.js';
import type { CommentStyle } from '../../../../../src/dataplane/iptables/rules/renderServicePort.js';
import type { ApiObject } from '../../../../../src/objects/ApiObject.js';
import type { Service } from '../../../../../src/objects/Service.js';
import {
  cidr,
  endpoint,
  endpointPort,
  ip,
  port,
  service,
  slice,
  tableOf,
} from '../../../../support/builders.js';
import { DEFAULT_CONFIG, rulesOf, settingsOf } from '../../../../support/renderTable.js';

const CONFIG = {
  ...DEFAULT_CONFIG,
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.0.0.0/8') } },
} as const;

function render(objects: readonly ApiObject[], comments: CommentStyle = 'full'): string {
  const table = tableOf(objects);
  table.commit();
  const settings = settingsOf('IPv4', table, CONFIG);
  return planFull(
    rulesOf(table, settings, comments),
    NO_RULES,
    settings,
    Number.POSITIVE_INFINITY,
  ).toString();
}

/** The rules of one chain, without `-A chain`. */
function rulesIn(text: string, table: 'filter' | 'nat', name: string): string[] {
  const section = text.split('COMMIT\n').find((part) => part.startsWith(`*${table}\n`)) ?? '';
  const head = `-A ${name} `;
  return section
    .split('\n')
    .filter((line) => line.startsWith(head))
    .map((line) => line.slice(head.length));
}

t.test('hashes', async (t) => {
  const vectors: readonly [
    name: string,
    protocol: string,
    hash: string,
    target?: string,
    endpointHash?: string,
  ][] = [
    ['ns1/svc1:p80', 'tcp', 'XPGD46QRK7WJZT7O', '10.180.0.1:80', 'SXIVWICOYRO3J4NJ'],
    ['default/kubernetes:https', 'tcp', 'NPX46M4PTMTKRN6Y', '172.18.0.2:6443', 'V2PECCYPB6X2GSCW'],
    ['kube-system/kube-dns:dns', 'udp', 'TCOU7JCQXEZGVUNU', '10.244.0.2:53', 'YIL6JZP7A3QYXJU2'],
    ['kube-system/kube-dns:dns-tcp', 'tcp', 'ERIFXISQEP7F7OF4', '10.244.0.2:53', 'IT2ZTR26TO4XFPTO'],
    ['default/web', 'tcp', 'LOLE4ISW44XBNF3G', '10.244.1.7:8080', 'DKWNLF34UGBVYALX'],
    ['default/web', 'tcp', 'LOLE4ISW44XBNF3G', '[fd00:10:180::1]:80', 'JBRXOVGWLKCNB76Y'],
    ['ns1/svc1:p80', 'sctp', 'GFCIFIA5VTFSTMSM'],
  ];
  for (const [name, protocol, hash, target, endpointHash] of vectors) {
    t.equal(chain.hash16(`${name}${protocol}`), hash, `${name} ${protocol}`);
    if (target) t.equal(chain.hash16(`${name}${protocol}${target}`), endpointHash, `${name} ${target}`);
  }
});

function clusterIPService(i: number): Service {
  return service({
    namespace: 'ns1',
    name: `svc${i}`,
    clusterIPs: { IPv4: ip(`172.30.0.${i}`) },
    ports: [port({ name: 'p80' })],
  });
}

function loadBalancerService(i: number): Service {
  return service({
    ...clusterIPService(i),
    type: 'LoadBalancer',
    ports: [port({ name: 'p80', nodePort: 3000 + i })],
    externalIPs: [ip(`192.168.99.${i}`)],
    loadBalancerIngress: [{ ip: ip(`1.2.3.${i}`), ipMode: 'VIP' }],
    loadBalancerSourceRanges: [cidr('203.0.113.0/25')],
  });
}

function endpointsOf(i: number, count: number): ApiObject {
  const endpoints = Array.from({ length: count }, (_, n) => endpoint(`10.180.${i}.${n + 1}`));
  return slice(endpoints, {
    namespace: 'ns1',
    name: `svc${i}`,
    serviceName: `svc${i}`,
    ports: [endpointPort({ name: 'p80', port: 80 })],
  });
}

t.test('numbers of rules', async (t) => {
  const cases: readonly [
    (i: number) => Service,
    services: number,
    endpoints: number,
    filter: number,
    nat: number,
  ][] = [
    [clusterIPService, 0, 0, 4, 5],
    [clusterIPService, 1, 0, 5, 5],
    [clusterIPService, 1, 1, 4, 10],
    [clusterIPService, 1, 2, 4, 13],
    [clusterIPService, 1, 10, 4, 37],
    [clusterIPService, 10, 10, 4, 325],
    [loadBalancerService, 1, 0, 8, 5],
    [loadBalancerService, 1, 1, 5, 18],
    [loadBalancerService, 1, 2, 5, 21],
    [loadBalancerService, 1, 10, 5, 45],
    [loadBalancerService, 10, 10, 14, 405],
  ];
  for (const [make, services, endpoints, filter, nat] of cases) {
    const numbers = Array.from({ length: services }, (_, i) => i + 1);
    const text = render(numbers.flatMap((i) => [make(i), endpointsOf(i, endpoints)]));
    const count = (table: string) =>
      text
        .split('COMMIT\n')
        .filter((section) => section.startsWith(`*${table}\n`))
        .join('')
        .split('\n')
        .filter((line) => line.startsWith('-A ')).length;
    t.same([count('filter'), count('nat')], [filter, nat], `${make.name}: ${services} x ${endpoints}`);
  }
});

t.test('a complete example', async (t) => {
  const svc1 = service({
    ...loadBalancerService(1),
    clusterIPs: { IPv4: ip('172.30.0.41') },
    externalIPs: [ip('192.168.99.22')],
    loadBalancerIngress: [{ ip: ip('1.2.3.4'), ipMode: 'VIP' }],
  });
  const endpoints = slice([endpoint('10.180.0.1')], {
    namespace: 'ns1',
    serviceName: 'svc1',
    ports: [endpointPort({ name: 'p80', port: 80 })],
  });
  const text = render([svc1, endpoints]);
  const [hash, sep] = ['XPGD46QRK7WJZT7O', 'SXIVWICOYRO3J4NJ'];
  const name = '-m comment --comment ns1/svc1:p80';
  const lb = '-m comment --comment "ns1/svc1:p80 loadbalancer IP"';
  const expected: readonly ['filter' | 'nat', string, string[]][] = [
    ['filter', 'KUBE-SERVICES', []],
    ['filter', 'KUBE-EXTERNAL-SERVICES', []],
    ['filter', 'KUBE-NODEPORTS', []],
    [
      'filter',
      'KUBE-PROXY-FIREWALL',
      [
        `-m comment --comment "ns1/svc1:p80 traffic not accepted by KUBE-FW-${hash}" -m tcp -p tcp -d 1.2.3.4 --dport 80 -j DROP`,
      ],
    ],
    [
      'nat',
      'KUBE-NODEPORTS',
      [
        `${name} -m tcp -p tcp -d 127.0.0.0/8 --dport 3001 -m nfacct --nfacct-name localhost_nps_accepted_pkts -j KUBE-EXT-${hash}`,
        `${name} -m tcp -p tcp --dport 3001 -j KUBE-EXT-${hash}`,
      ],
    ],
    [
      'nat',
      'KUBE-SERVICES',
      [
        `-m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 172.30.0.41 --dport 80 -j KUBE-SVC-${hash}`,
        `-m comment --comment "ns1/svc1:p80 external IP" -m tcp -p tcp -d 192.168.99.22 --dport 80 -j KUBE-EXT-${hash}`,
        `${lb} -m tcp -p tcp -d 1.2.3.4 --dport 80 -j KUBE-FW-${hash}`,
        '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
      ],
    ],
    [
      'nat',
      `KUBE-EXT-${hash}`,
      [
        '-m comment --comment "masquerade traffic for ns1/svc1:p80 external destinations" -j KUBE-MARK-MASQ',
        `-j KUBE-SVC-${hash}`,
      ],
    ],
    [
      'nat',
      `KUBE-FW-${hash}`,
      [
        `${lb} -s 203.0.113.0/25 -j KUBE-EXT-${hash}`,
        '-m comment --comment "other traffic to ns1/svc1:p80 will be dropped by KUBE-PROXY-FIREWALL"',
      ],
    ],
    [
      'nat',
      `KUBE-SVC-${hash}`,
      [
        '-m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 172.30.0.41 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
        `-m comment --comment "ns1/svc1:p80 -> 10.180.0.1:80" -j KUBE-SEP-${sep}`,
      ],
    ],
    [
      'nat',
      `KUBE-SEP-${sep}`,
      [
        `${name} -s 10.180.0.1 -j KUBE-MARK-MASQ`,
        `${name} -m tcp -p tcp -j DNAT --to-destination 10.180.0.1:80`,
      ],
    ],
  ];
  for (const [table, name, rules] of expected) t.same(rulesIn(text, table, name), rules, `${table} ${name}`);
});

t.test('shares of endpoints and affinity', async (t) => {
  const text = render([service({ ...clusterIPService(1), affinitySeconds: 10800 }), endpointsOf(1, 3)]);
  const found = rulesIn(text, 'nat', 'KUBE-SVC-XPGD46QRK7WJZT7O').slice(1);
  const short = found.map((rule) =>
    rule.replace(/-m comment --comment "[^"]*" /, '').replace(/KUBE-SEP-\S+/g, 'SEP'),
  );
  t.same(short, [
    '-m recent --name SEP --rcheck --seconds 10800 --reap -j SEP',
    '-m recent --name SEP --rcheck --seconds 10800 --reap -j SEP',
    '-m recent --name SEP --rcheck --seconds 10800 --reap -j SEP',
    '-m statistic --mode random --probability 0.3333333333 -j SEP',
    '-m statistic --mode random --probability 0.5000000000 -j SEP',
    '-j SEP',
  ]);
  t.match(text, /-A (KUBE-SEP-\S+) .*-m recent --name \1 --set -m tcp -p tcp -j DNAT/);
});

t.test('large clusters: endpoint rules without comments, all others with', async (t) => {
  const objects = [service({ ...clusterIPService(1), affinitySeconds: 60 }), endpointsOf(1, 2)];
  const [full, brief] = [render(objects), render(objects, 'brief')];
  const stripped = full
    .split('\n')
    .map((line) =>
      /-A KUBE-S(EP|VC)-/.test(line)
        ? line.replace(/-m comment --comment ("[^"]* -> [^"]*"|[^"\s]+) /, '')
        : line,
    )
    .join('\n');
  t.not(brief, full);
  t.equal(brief, stripped);
});

t.test('a Service may have a health-check node port without endpoints', async (t) => {
  const text = render([
    service({
      ...clusterIPService(1),
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32000,
    }),
  ]);
  t.same(rulesIn(text, 'filter', 'KUBE-NODEPORTS'), [
    '-m comment --comment "ns1/svc1:p80 health check node port" -m tcp -p tcp --dport 32000 -j ACCEPT',
  ]);
});

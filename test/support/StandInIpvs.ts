/**
 * Stands for stock kube-proxy in mode ipvs, as StandIn for its other modes: the steps of a sync of 1.36 in its order, each against what
 * the kernel holds. Virtual servers that it does not know are deleted, whoever made them; endpoints that go get weight 0, as they have
 * connections. Nothing blocks, so that clients of this process see every step.
 */
import { spawn } from 'node:child_process';
import { plain } from './iptables.js';
import type { StandInService } from './StandIn.js';

const PODS = '10.0.0.0/8';

/** Of those that kube-proxy makes, the ones that Services with cluster IPs fill. */
const SETS = {
  'KUBE-LOOP-BACK': 'hash:ip,port,ip',
  'KUBE-CLUSTER-IP': 'hash:ip,port',
  'KUBE-IPVS-IPS': 'hash:ip',
} as const;

const CLUSTER_IP = '-m set --match-set KUBE-CLUSTER-IP dst,dst';

/** From the head of each chain, as kube-proxy inserts them. */
const JUMPS: Readonly<Record<'nat' | 'filter', readonly string[]>> = {
  nat: [
    'OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    'PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    'POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  ],
  filter: [
    'FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    'INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER',
  ],
};

const RULES: Readonly<Record<'nat' | 'filter', Readonly<Record<string, readonly string[]>>>> = {
  nat: {
    'KUBE-SERVICES': [
      '-s 127.0.0.0/8 -j RETURN',
      `! -s ${PODS} -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" ${CLUSTER_IP} -j KUBE-MARK-MASQ`,
      '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
      `${CLUSTER_IP} -j ACCEPT`,
    ],
    'KUBE-POSTROUTING': [
      '-m comment --comment "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose" -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE',
      '-m mark ! --mark 0x4000/0x4000 -j RETURN',
      '-j MARK --xor-mark 0x4000',
      '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ],
    'KUBE-NODE-PORT': [],
    'KUBE-LOAD-BALANCER': ['-j KUBE-MARK-MASQ'],
    'KUBE-MARK-MASQ': ['-j MARK --or-mark 0x4000'],
  },
  filter: {
    'KUBE-FORWARD': [
      '-m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
      '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ],
    'KUBE-NODE-PORT': [],
    'KUBE-PROXY-FIREWALL': [],
    'KUBE-SOURCE-RANGES-FIREWALL': ['-j DROP'],
    'KUBE-IPVS-OUT-FILTER': [],
    'KUBE-IPVS-FILTER': [
      `${CLUSTER_IP} -j RETURN`,
      '-m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT',
    ],
  },
};

export class StandInIpvs {
  /** All that it proxies from now on. */
  async write(services: readonly StandInService[]): Promise<void> {
    const [saved, servers, sets] = await Promise.all([
      run('iptables-save'),
      run('ipvsadm -Sn').then(parseServers),
      run('ipset save'),
    ]);
    await run(writing(services, saved, servers, sets).join('\n'));
  }

  /** As `kube-proxy --cleanup`: all virtual servers of the host, and the chains, whatever mode made them. */
  async remove(): Promise<void> {
    await run(removal(await run('iptables-save')));
  }
}

function run(script: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(...plain('sh', '-ec', script), { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.once('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${errors}\n${script}`));
    });
  });
}

function writing(
  services: readonly StandInService[],
  saved: string,
  servers: Servers,
  sets: string,
): readonly string[] {
  const wanted = new Map(
    services.map(({ clusterIP, endpoints }) => [
      `${clusterIP}:80`,
      new Set(endpoints.map((a) => `${a}:8080`)),
    ]),
  );
  const commands: string[] = ['ip link add kube-ipvs0 type dummy 2>/dev/null || true'];
  for (const [name, type] of Object.entries(SETS)) commands.push(`ipset create ${name} ${type} -exist`);
  for (const [place, endpoints] of wanted) {
    const present = servers.get(place);
    if (!present) commands.push(`ipvsadm -A -t ${place} -s rr`);
    for (const endpoint of endpoints)
      if (present?.get(endpoint) !== 1)
        commands.push(`ipvsadm -${present?.has(endpoint) ? 'e' : 'a'} -t ${place} -r ${endpoint} -m -w 1`);
    for (const endpoint of present?.keys() ?? [])
      if (!endpoints.has(endpoint)) commands.push(`ipvsadm -e -t ${place} -r ${endpoint} -m -w 0`);
    commands.push(`ip address add ${place.slice(0, -3)}/32 dev kube-ipvs0 2>/dev/null || true`);
  }
  commands.push(`ipset restore -exist <<'EOF'\n${setText(services, sets)}EOF`);
  commands.push(`iptables-restore --noflush <<'EOF'\n${ruleText(saved)}EOF`);
  const gone = [...servers.keys()].filter((place) => !wanted.has(place));
  for (const place of gone) {
    commands.push(`ip address del ${place.slice(0, -3)}/32 dev kube-ipvs0 2>/dev/null || true`);
    commands.push(`ipvsadm -D -t ${place}`);
  }
  return commands;
}

function removal(saved: string): string {
  const lines: string[] = [];
  for (const [, table = '', part = ''] of saved.matchAll(/^\*(\w+)\n([\s\S]*?)^COMMIT/gm)) {
    const chains = [...part.matchAll(/^:(KUBE-\S+)/gm)].map(([, name]) => name);
    const jumps = [...part.matchAll(/^-A ((?!KUBE-).* -j KUBE-.*)$/gm)].map(([, rule]) => `-D ${rule}`);
    lines.push(`*${table}`, ...chains.map((name) => `:${name} - [0:0]`), ...jumps);
    lines.push(...chains.map((name) => `-X ${name}`), 'COMMIT');
  }
  const sets = Object.keys(SETS).map((name) => `ipset destroy ${name} 2>/dev/null || true`);
  const rules = `iptables-restore --noflush <<'EOF'\n${lines.join('\n')}\nEOF`;
  return ['ipvsadm -C', 'ip link del kube-ipvs0 2>/dev/null || true', rules, ...sets].join('\n');
}

/** Place → endpoint → weight, of those over TCP. */
type Servers = Map<string, Map<string, number>>;

function parseServers(text: string): Servers {
  const servers: Servers = new Map();
  for (const line of text.split('\n')) {
    const [, place = ''] = /^-A -t (\S+)/.exec(line) ?? [];
    if (place !== '') servers.set(place, new Map());
    const [, of = '', endpoint = '', weight] = /^-a -t (\S+) -r (\S+) .*-w (\d+)/.exec(line) ?? [];
    servers.get(of)?.set(endpoint, Number(weight));
  }
  return servers;
}

/** One command an element, as kube-proxy gives them. */
function setText(services: readonly StandInService[], present: string): string {
  const elements = services.flatMap(({ clusterIP, endpoints }) => [
    `KUBE-CLUSTER-IP ${clusterIP},tcp:80`,
    `KUBE-IPVS-IPS ${clusterIP}`,
    ...endpoints.map((address) => `KUBE-LOOP-BACK ${address},tcp:8080,${address}`),
  ]);
  const stale = [...present.matchAll(/^add ((KUBE-\S+) .*)$/gm)]
    .filter(([, element = '', set = '']) => Object.hasOwn(SETS, set) && !elements.includes(element))
    .map(([, element]) => `del ${element}\n`);
  return [...elements.map((element) => `add ${element}\n`), ...stale].join('');
}

function ruleText(saved: string): string {
  return (['nat', 'filter'] as const)
    .map((table) => {
      const chains = Object.entries(RULES[table]);
      const present = saved.split(`*${table}\n`)[1]?.split('COMMIT')[0] ?? '';
      const missing = JUMPS[table].filter((jump) => !present.includes(`-A ${jump}\n`));
      return [
        `*${table}`,
        ...chains.map(([name]) => `:${name} - [0:0]`),
        ...chains.flatMap(([name, rules]) => rules.map((rule) => `-A ${name} ${rule}`)),
        ...missing.map((jump) => `-I ${jump}`),
        'COMMIT\n',
      ].join('\n');
    })
    .join('');
}

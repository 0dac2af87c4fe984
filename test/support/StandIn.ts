/**
 * Stands for stock kube-proxy where its binary is not: writes rules in the forms that kube-proxy 1.36 writes (chains, names,
 * hooks, priorities), in place as kube-proxy does, and leaves them when it ends.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { plain } from './iptables.js';

export type StandInMode = 'iptables-nft' | 'iptables-legacy' | 'nftables';

export interface StandInService {
  /** In namespace shop, with a port named http. */
  readonly name: string;
  /** On port 80. */
  readonly clusterIP: string;
  /** Each on port 8080. None: refused. */
  readonly endpoints: readonly string[];
}

const PODS = '10.0.0.0/8';

export class StandIn {
  readonly mode: StandInMode;
  #hasRules = false;

  constructor(mode: StandInMode) {
    this.mode = mode;
  }

  /** All that it proxies from now on, in one transaction. */
  write(services: readonly StandInService[]): void {
    feed(...this.#writing(services));
    this.#hasRules = true;
  }

  /**
   * The same while clients and servers of this process go on. Where each instruction is emulated a program takes seconds, and a connection
   * that lasts as long because of that is cut: IPVS carries those that are open for two seconds more.
   */
  async writeAside(services: readonly StandInService[]): Promise<void> {
    await feedAside(...this.#writing(services));
    this.#hasRules = true;
  }

  #writing(services: readonly StandInService[]): Feeding {
    if (this.mode === 'nftables') return ['nft', ['-f', '-'], nftText(services)];
    return [`${this.mode}-restore`, ['--noflush'], iptablesText(services, this.#hasRules ? [] : JUMPS)];
  }

  /** As `kube-proxy --cleanup`. */
  remove(): void {
    if (!this.#hasRules) return;
    this.#hasRules = false;
    if (this.mode === 'nftables') feed('nft', ['-f', '-'], 'delete table ip kube-proxy\n');
    else feed(`${this.mode}-restore`, ['--noflush'], removalText(this.mode));
  }
}

type Feeding = readonly [program: string, args: readonly string[], input: string];

function feed(...[program, args, input]: Feeding): void {
  const [file, words] = plain(program, ...args);
  const { status, stderr } = spawnSync(file, words, { input, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: ${stderr}\n${input}`);
}

function feedAside(...[program, args, input]: Feeding): Promise<void> {
  const child = spawn(...plain(program, ...args), { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => (said += chunk));
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('close', (status) =>
      status === 0 ? resolve() : reject(new Error(`${program}: ${said}\n${input}`)),
    );
  });
}

function hash(prefix: string, text: string): string {
  return `${prefix}-${createHash('sha256').update(text).digest('hex').slice(0, 16).toUpperCase()}`;
}

type Jump = readonly [table: 'nat' | 'filter', chain: string, rule: string];

const JUMPS: readonly Jump[] = [
  ['nat', 'PREROUTING', '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ['nat', 'OUTPUT', '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ['nat', 'POSTROUTING', '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING'],
  [
    'filter',
    'FORWARD',
    '-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  ],
  [
    'filter',
    'OUTPUT',
    '-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  ],
];

function iptablesText(services: readonly StandInService[], jumps: readonly Jump[]): string {
  const filter = [':KUBE-SERVICES - [0:0]'];
  const nat = [':KUBE-SERVICES - [0:0]', ':KUBE-POSTROUTING - [0:0]', ':KUBE-MARK-MASQ - [0:0]'];
  const rules = [
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
    '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
  ];
  for (const { name, clusterIP, endpoints } of services) {
    const port = `shop/${name}:http`;
    const place = `-d ${clusterIP}/32 -p tcp -m comment --comment "${port} cluster IP" -m tcp --dport 80`;
    if (endpoints.length === 0) {
      filter.push(
        `-A KUBE-SERVICES -d ${clusterIP}/32 -p tcp -m comment --comment "${port} has no endpoints" -m tcp --dport 80 -j REJECT`,
      );
      continue;
    }
    const chain = hash('KUBE-SVC', port);
    nat.push(`:${chain} - [0:0]`);
    rules.push(
      `-A KUBE-SERVICES ${place} -j ${chain}`,
      `-A ${chain} ! -s ${PODS} ${place} -j KUBE-MARK-MASQ`,
    );
    for (const [i, address] of endpoints.entries()) {
      const target = hash('KUBE-SEP', `${port} ${address}`);
      const left = endpoints.length - i;
      const chance = left === 1 ? '' : ` -m statistic --mode random --probability ${(1 / left).toFixed(11)}`;
      nat.push(`:${target} - [0:0]`);
      rules.push(
        `-A ${chain} -m comment --comment "${port} -> ${address}:8080"${chance} -j ${target}`,
        `-A ${target} -s ${address}/32 -m comment --comment "${port}" -j KUBE-MARK-MASQ`,
        `-A ${target} -p tcp -m comment --comment "${port}" -m tcp -j DNAT --to-destination ${address}:8080`,
      );
    }
  }
  const jumpsOf = (table: Jump[0]) =>
    jumps.filter(([of]) => of === table).map(([, chain, rule]) => `-I ${chain} ${rule}`);
  return [
    '*filter',
    ...filter,
    ...jumpsOf('filter'),
    'COMMIT',
    '*nat',
    ...nat,
    ...rules,
    ...jumpsOf('nat'),
    'COMMIT',
    '',
  ].join('\n');
}

/** Chains and what leads to them, whatever there is by now. */
function removalText(mode: string): string {
  const saved = spawnSync(...plain(`${mode}-save`), { encoding: 'utf8' }).stdout;
  const lines: string[] = [];
  for (const table of ['filter', 'nat'] as const) {
    const part = saved.split(`*${table}\n`)[1]?.split('COMMIT')[0] ?? '';
    const chains = [...part.matchAll(/^:(KUBE-\S+)/gm)].map(([, name]) => name);
    const jumps = JUMPS.filter(([of, chain]) => of === table && part.includes(`-A ${chain} `));
    lines.push(`*${table}`, ...jumps.map(([, chain, rule]) => `-D ${chain} ${rule}`));
    lines.push(...chains.map((name) => `-F ${name}`), ...chains.map((name) => `-X ${name}`), 'COMMIT');
  }
  return `${lines.join('\n')}\n`;
}

const NFT_FIXED = `
table ip kube-proxy {
  set cluster-ips { type ipv4_addr; }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
  map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain reject-chain { reject; }
  chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
  chain cluster-ips-check {
    ip daddr @cluster-ips reject
    ip daddr 172.30.0.0/16 drop
  }
  chain services {
    ip daddr @cluster-ips ip saddr != ${PODS} meta mark set meta mark | 0x00004000
    ip daddr . meta l4proto . th dport vmap @service-ips
  }
  chain masquerading { meta mark & 0x00004000 != 0 meta mark set meta mark ^ 0x00004000 masquerade fully-random; }
  chain filter-prerouting-pre-dnat { type filter hook prerouting priority -110; ct state new jump firewall-check; }
  chain filter-output-pre-dnat { type filter hook output priority -110; ct state new jump firewall-check; }
  chain filter-forward { type filter hook forward priority 0; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
  chain filter-output { type filter hook output priority 0; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
}
`;

/** Chains that are there stay at their hooks; what they hold is replaced. */
function nftText(services: readonly StandInService[]): string {
  const lines = ['add table ip kube-proxy', ...chainsOf(NFT_FIXED), 'flush table ip kube-proxy'];
  lines.push(...['cluster-ips', 'no-endpoint-services', 'service-ips'].flatMap(emptied), NFT_FIXED);
  for (const { name, clusterIP, endpoints } of services) {
    lines.push(`add element ip kube-proxy cluster-ips { ${clusterIP} }`);
    const place = `${clusterIP} . tcp . 80`;
    if (endpoints.length === 0) {
      lines.push(
        `add element ip kube-proxy no-endpoint-services { ${place} comment "shop/${name}:http" : goto reject-chain }`,
      );
      continue;
    }
    const chain = `${hash('service', name)}-shop/${name}/tcp/http`;
    const list = endpoints.map((address, i) => `${i} : ${address} . 8080`).join(', ');
    lines.push(
      `add chain ip kube-proxy ${chain}`,
      `add rule ip kube-proxy ${chain} meta l4proto tcp dnat ip to numgen random mod ${endpoints.length} map { ${list} }`,
      `add element ip kube-proxy service-ips { ${place} : goto ${chain} }`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function chainsOf(text: string): string[] {
  return [...text.matchAll(/chain (\S+) \{(?: (type [^;]+;))?/g)].map(
    ([, name, hook]) => `add chain ip kube-proxy ${name}${hook === undefined ? '' : ` { ${hook} }`}`,
  );
}

function emptied(name: string): string[] {
  const type =
    name === 'cluster-ips'
      ? 'add set ip kube-proxy cluster-ips { type ipv4_addr; }'
      : `add map ip kube-proxy ${name} { type ipv4_addr . inet_proto . inet_service : verdict; }`;
  return [type, `flush ${name === 'cluster-ips' ? 'set' : 'map'} ip kube-proxy ${name}`];
}

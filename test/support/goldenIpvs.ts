/** What stock kube-proxy 1.36.2 left in mode ipvs for the recorded objects, without what differs on purpose. */
import type { IpvsOptions } from '../../src/dataplane/ipvs/desired/IpvsSettings.js';
import { GOLDEN_OPTIONS } from './goldenTable.js';
import { readShared } from './shared.js';

/** Of stock/golden/ipvs/config.yaml. */
export const IPVS_GOLDEN_OPTIONS: IpvsOptions = {
  ...GOLDEN_OPTIONS,
  scheduler: 'rr',
  excludeCIDRs: [],
  strictARP: false,
  timeouts: { tcp: 0, tcpFin: 0, udp: 0 },
};

/** The API server's own Service default/kubernetes, which is in no manifest. */
const APISERVER = '172.30.0.1';

/**
 * Under external policy Local without local endpoints stock uses those of other nodes; here traffic from outside is
 * dropped, as in the other modes.
 */
const STOCK_FALLBACKS = [
  '-a -t 192.0.2.60:80 -r 10.244.1.18:8080 -m -w 1',
  '-a -t 10.200.0.10:30083 -r 10.244.1.18:8080 -m -w 1',
];

/** Stock's rule for clients of this node that source ranges keep out; here set rules in mangle do it. */
const OUT_FILTER = /^-A KUBE-IPVS-OUT-FILTER /;

function linesOf(file: string): string[] {
  return readShared(`stock/golden/ipvs/${file}`).split('\n').filter(Boolean);
}

/** `ipvsadm -Sn`, sorted. */
export function stockServers(): string[] {
  return linesOf('ipvsadm-Sn.txt')
    .filter((line) => !line.includes(`${APISERVER}:`) && !STOCK_FALLBACKS.includes(line))
    .sort();
}

/** `ipset save`, sorted, without what the kernel chose. */
export function stockSets(): string[] {
  return linesOf('ipset-save.txt')
    .map((line) => line.replace(/ bucketsize .*$/, ''))
    .filter((line) => !line.endsWith(` ${APISERVER}`) && !line.includes(` ${APISERVER},`))
    .sort();
}

/** Of kube-ipvs0, sorted: `172.30.1.2/32`. */
export function stockAddresses(): string[] {
  const [link] = JSON.parse(readShared('stock/golden/ipvs/kube-ipvs0.json')) as [
    {
      readonly addr_info: readonly {
        readonly family: string;
        readonly local: string;
        readonly prefixlen: number;
      }[];
    },
  ];
  return link.addr_info
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`)
    .filter((address) => address !== `${APISERVER}/32`)
    .sort();
}

/** Chain → rules. */
export type Chains = Map<string, string[]>;

/** Chains of nat and filter by `table chain`. `text` is of iptables-save. */
export function chainsOf(text: string): Chains {
  const chains: Chains = new Map();
  let table = '';
  for (const line of text.replaceAll("\\'", "'").split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const [, name, rule] = /^-[AI] (\S+) (.*)$/.exec(line) ?? [];
    if (name === undefined || rule === undefined || OUT_FILTER.test(line)) continue;
    const key = `${table} ${name}`;
    const rules = chains.get(key) ?? [];
    // Inserted rules stand in front of those before.
    if (line.startsWith('-I')) rules.unshift(rule);
    else rules.push(rule);
    chains.set(key, rules);
  }
  return chains;
}

export function stockRules(family: 'IPv4' | 'IPv6'): Chains {
  return chainsOf(linesOf(family === 'IPv4' ? 'iptables-save.txt' : 'ip6tables-save.txt').join('\n'));
}

/** Ours without what stock never has: sets and marks of our own, the table mangle. */
export function withoutOwnLines(lines: readonly string[]): string[] {
  return lines.filter((line) => !/PENSTOCK-|^-[Aa] -f /.test(line)).sort();
}

/**
 * Our chains as stock would have them. Stock leaves out the rules of empty sets, has two ACCEPT rules after the jump to
 * KUBE-NODE-PORT that are before it here, and knows neither the mark of clients in the cluster nor what is refused on loopback.
 */
export function asStock(ours: Chains, emptySets: ReadonlySet<string>): Chains {
  const result: Chains = new Map();
  for (const [chain, rules] of ours) {
    if (chain.startsWith('mangle ')) continue;
    const kept = rules.filter((rule) => {
      const set = /--match-set (\S+)/.exec(rule)?.[1];
      const always = /KUBE-IPVS-FILTER$|^filter KUBE-NODE-PORT$/.test(chain);
      if (set?.startsWith('PENSTOCK-REFUSED-')) return false;
      return !rule.includes('--mark 0x70000000/') && (always || set === undefined || !emptySets.has(set));
    });
    if (chain === 'nat KUBE-SERVICES') {
      const nodePorts = kept.findIndex((rule) => rule.endsWith('-j KUBE-NODE-PORT'));
      const [dispatch = ''] = kept.splice(nodePorts, 1);
      kept.splice(nodePorts - 2, 0, dispatch);
    }
    result.set(chain, kept);
  }
  return result;
}

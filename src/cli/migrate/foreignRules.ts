/** Rules of neither proxy that name a VIP or a node port, and policies that drop what no rule lets through. Reads text only. */

import { loadBalancerIPs } from '../../explain/claims.js';
import type { World } from '../../explain/World.js';
import type { Remark } from './Remark.js';

/** What `iptables-save` (each family) and `nft list ruleset` printed. */
export interface RuleListing {
  readonly saves: readonly { readonly name: string; readonly text: string }[];
  readonly nft: string | undefined;
}

/** How many rules are named; how many there are is said. */
const NAMED = 20;
const OF_PROXIES = /^-A (KUBE-|PENSTOCK-)|-j (KUBE-|PENSTOCK-)/;

export function foreignRules(world: World, { saves, nft }: RuleListing): Remark[] {
  const vips = vipsOf(world);
  const ports = nodePortsOf(world);
  const touching: Remark[] = [];
  const policies: Remark[] = [];
  for (const { name, text } of saves) {
    let table = '';
    let accepts = false;
    for (const line of text.split('\n')) {
      if (line.startsWith('*')) table = line.slice(1);
      if (/^-A FORWARD .*(--ctstate \S*DNAT\S* -j ACCEPT|-j KUBE-FORWARD)/.test(line)) accepts = true;
      const policy = /^:(INPUT|FORWARD|OUTPUT) DROP/.exec(line)?.[1];
      if (policy !== undefined) policies.push(policyOf(`${name}, ${table} ${policy}`, policy));
      if (!line.startsWith('-A ') || OF_PROXIES.test(line)) continue;
      const service = serviceOfRule(line, vips, ports);
      if (service !== undefined) touching.push(ruleOf(service, `${name}, ${table}: ${line}`));
    }
    // Connections to endpoints pass FORWARD in every mode.
    if (accepts)
      policies.splice(0, policies.length, ...policies.filter(({ subject }) => !subject.endsWith('FORWARD')));
  }
  const ofNft = nft === undefined ? { rules: [], policies: [] } : inNft(nft, vips);
  const all = [...touching, ...ofNft.rules];
  const more = all.length - NAMED;
  return [
    ...all.slice(0, NAMED),
    ...(more > 0 ? [ruleOf('', `${more} rules more`)] : []),
    ...policies,
    ...ofNft.policies,
  ];
}

function ruleOf(service: string, text: string): Remark {
  return { section: 'rules', level: 'attend', subject: service, text };
}

function policyOf(subject: string, chain: string): Remark {
  const text =
    chain.toUpperCase() === 'FORWARD'
      ? 'drops what no rule accepts: kube-proxy accepts connections to endpoints in KUBE-FORWARD, mode nftables cannot (penstock doctor has the rule)'
      : 'drops what no rule accepts: node ports and health checks need rules that accept them, as they do with kube-proxy';
  return { section: 'rules', level: chain.toUpperCase() === 'FORWARD' ? 'attend' : 'note', subject, text };
}

function vipsOf(world: World): ReadonlyMap<string, string> {
  const vips = new Map<string, string>();
  for (const service of world.services) {
    const name = `${service.namespace}/${service.name}`;
    for (const ip of [
      ...Object.values(service.clusterIPs),
      ...service.externalIPs,
      ...loadBalancerIPs(service),
    ])
      if (ip !== undefined) vips.set(ip, name);
  }
  return vips;
}

function nodePortsOf(world: World): ReadonlyMap<string, string> {
  const ports = new Map<string, string>();
  for (const { namespace, name, ports: list } of world.services)
    for (const { nodePort, protocol } of list)
      if (nodePort !== 0) ports.set(`${nodePort}/${protocol.toLowerCase()}`, `${namespace}/${name}`);
  return ports;
}

/** The Service whose VIP or node port a rule of iptables names as destination. */
function serviceOfRule(
  line: string,
  vips: ReadonlyMap<string, string>,
  ports: ReadonlyMap<string, string>,
): string | undefined {
  const address = /(?:^| )(?:-d|--ctorigdst) ([0-9a-f.:]+)(?:\/(?:32|128))?(?= |$)/i.exec(line)?.[1];
  if (address !== undefined) return vips.get(address);
  const protocol = / -p (tcp|udp|sctp)/.exec(line)?.[1];
  const port = / --dport (\d+)(?= |$)/.exec(line)?.[1];
  return ports.get(`${port}/${protocol}`);
}

/** Tables of neither proxy, and not those that iptables-nft shows as well. */
function inNft(text: string, vips: ReadonlyMap<string, string>): { rules: Remark[]; policies: Remark[] } {
  const rules: Remark[] = [];
  const policies: Remark[] = [];
  let table = '';
  let chain = '';
  for (const line of text.split('\n')) {
    const opened = /^table (\S+ \S+) \{/.exec(line)?.[1];
    if (opened !== undefined) {
      const name = opened.split(' ')[1] ?? '';
      const isKnown =
        name === 'kube-proxy' ||
        name.startsWith('penstock') ||
        /^(ip6?) (nat|filter|mangle|raw)$/.test(opened);
      table = isKnown ? '' : opened;
    }
    if (table === '') continue;
    chain = /^\tchain (\S+) \{/.exec(line)?.[1] ?? chain;
    const hook = / hook (input|forward|output|prerouting) .*policy drop;/.exec(line)?.[1];
    if (hook !== undefined) policies.push(policyOf(`nft, table ${table}, chain ${chain}`, hook));
    if (!line.startsWith('\t\t')) continue;
    const words = line.split(/[\s,{}]+/);
    const vip = words.find((word) => vips.has(word));
    if (vip !== undefined && /daddr/.test(line))
      rules.push(ruleOf(vips.get(vip) ?? '', `nft, table ${table}, chain ${chain}: ${line.trim()}`));
  }
  return { rules, policies };
}

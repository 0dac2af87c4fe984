/**
 * The iptables rules of kube-proxy's mode ipvs. They are the same on every node: all that differs is in sets. So a
 * comparison needs no iptables-save. Source: kube-proxy 1.36, pkg/proxy/ipvs.
 */
import type { IpFamily } from '../../net/ip.js';
import type { LocalDetector } from '../../net/LocalDetector.js';
import type { SavedRules } from '../iptables/readSave.js';

export interface StockSettings {
  readonly detectLocal: LocalDetector;
  readonly podCIDR: string | undefined;
  readonly masqueradeAll: boolean;
}

/** ipset allows 31 characters. */
export function setName(name: string, family: IpFamily): string {
  return (family === 'IPv4' ? name : name.replace('KUBE-', 'KUBE-6-')).slice(0, 31);
}

/** Rules for sets that are missing are left out, as kube-proxy leaves out those of empty sets. */
export function stockRules(family: IpFamily, settings: StockSettings, sets: readonly string[]): SavedRules {
  const has = (rule: string) => {
    const set = /--match-set (\S+)/.exec(rule)?.[1];
    return set === undefined || sets.includes(set);
  };
  const match = (name: string, fields: string) => `-m set --match-set ${setName(name, family)} ${fields}`;
  const notLocal = notFromPod(family, settings);
  const chains: Readonly<Record<string, readonly string[]>> = {
    'nat PREROUTING': ['-j KUBE-SERVICES'],
    'nat OUTPUT': ['-j KUBE-SERVICES'],
    'nat POSTROUTING': ['-j KUBE-POSTROUTING'],
    'nat KUBE-SERVICES': [
      ...(family === 'IPv4' ? ['-s 127.0.0.0/8 -j RETURN'] : []),
      `${match('KUBE-LOAD-BALANCER', 'dst,dst')} -j KUBE-LOAD-BALANCER`,
      ...(notLocal === undefined
        ? []
        : [`${notLocal} ${match('KUBE-CLUSTER-IP', 'dst,dst')} -j KUBE-MARK-MASQ`.trim()]),
      `${match('KUBE-EXTERNAL-IP', 'dst,dst')} -j KUBE-MARK-MASQ`,
      `${match('KUBE-EXTERNAL-IP', 'dst,dst')} -m addrtype --dst-type LOCAL -j ACCEPT`,
      `${match('KUBE-EXTERNAL-IP-LOCAL', 'dst,dst')} -m addrtype --dst-type LOCAL -j ACCEPT`,
      '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
    ],
    'nat KUBE-LOAD-BALANCER': [
      `${match('KUBE-LOAD-BALANCER-LOCAL', 'dst,dst')} -j RETURN`,
      '-j KUBE-MARK-MASQ',
    ],
    'nat KUBE-NODE-PORT': [
      `-p tcp ${match('KUBE-NODE-PORT-LOCAL-TCP', 'dst')} -j RETURN`,
      `-p tcp ${match('KUBE-NODE-PORT-TCP', 'dst')} -j KUBE-MARK-MASQ`,
      `-p udp ${match('KUBE-NODE-PORT-LOCAL-UDP', 'dst')} -j RETURN`,
      `-p udp ${match('KUBE-NODE-PORT-UDP', 'dst')} -j KUBE-MARK-MASQ`,
      `-p sctp ${match('KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'dst,dst')} -j RETURN`,
      `-p sctp ${match('KUBE-NODE-PORT-SCTP-HASH', 'dst,dst')} -j KUBE-MARK-MASQ`,
    ],
    'nat KUBE-MARK-MASQ': ['-j MARK --or-mark 0x4000'],
    'nat KUBE-POSTROUTING': [
      `${match('KUBE-LOOP-BACK', 'dst,dst,src')} -j MASQUERADE`,
      '-m mark ! --mark 0x4000/0x4000 -j RETURN',
      '-j MASQUERADE',
    ],
    'filter INPUT': ['-j KUBE-IPVS-FILTER', '-j KUBE-PROXY-FIREWALL'],
    'filter FORWARD': ['-j KUBE-PROXY-FIREWALL'],
    'filter KUBE-IPVS-FILTER': [
      `${match('KUBE-LOAD-BALANCER', 'dst,dst')} -j RETURN`,
      `${match('KUBE-CLUSTER-IP', 'dst,dst')} -j RETURN`,
      `${match('KUBE-EXTERNAL-IP', 'dst,dst')} -j RETURN`,
      `${match('KUBE-EXTERNAL-IP-LOCAL', 'dst,dst')} -j RETURN`,
      `${match('KUBE-HEALTH-CHECK-NODE-PORT', 'dst')} -j RETURN`,
      `${match('KUBE-IPVS-IPS', 'dst')} -j REJECT`,
    ],
    'filter KUBE-PROXY-FIREWALL': [
      `${match('KUBE-LOAD-BALANCER-FW', 'dst,dst')} -j KUBE-SOURCE-RANGES-FIREWALL`,
    ],
    'filter KUBE-SOURCE-RANGES-FIREWALL': [
      `${match('KUBE-LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src')} -j RETURN`,
      `${match('KUBE-LOAD-BALANCER-SOURCE-IP', 'dst,dst,src')} -j RETURN`,
      '-j DROP',
    ],
  };
  return { chains: new Map(Object.entries(chains).map(([key, rules]) => [key, rules.filter(has)])) };
}

/** '': everybody. Undefined: nobody is masqueraded for coming from elsewhere. */
function notFromPod(
  family: IpFamily,
  { detectLocal, podCIDR, masqueradeAll }: StockSettings,
): string | undefined {
  if (masqueradeAll) return '';
  switch (detectLocal.type) {
    case 'None':
      return undefined;
    case 'ClusterCIDR':
      return detectLocal.cidrs[family] && `! -s ${detectLocal.cidrs[family]}`;
    case 'NodeCIDR':
      return podCIDR && `! -s ${podCIDR}`;
    case 'BridgeInterface':
      return `! -i ${detectLocal.name}`;
    case 'InterfaceNamePrefix':
      return `! -i ${detectLocal.prefix}+`;
  }
}

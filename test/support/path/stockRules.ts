/**
 * What stock kube-proxy 1.36.2 wrote in mode iptables, as recorded in ../shared, for the way of outside traffic: the recorded text, whole,
 * in which Services of the same shape have the addresses and ports of the way's. Lines that need a kernel object of nfacct are left out.
 */
import { readShared } from '../shared.js';
import { API_VIP, CLUSTER_IPS, EDGE_NODE_PORT, EDGE_VIP, PATH_PODS } from './pathObjects.js';

/** For `iptables-restore`, on the node with that number. */
export function stockRules(node: 2 | 3): string {
  const [here, there] = node === 2 ? (['edge1', 'edge2'] as const) : (['edge2', 'edge1'] as const);
  const addressOf = (pod: keyof typeof PATH_PODS) => PATH_PODS[pod][1];
  const atPort80 = (recorded: string, address: string): [string, string][] => [
    [`${recorded}:8080`, `${address}:80`],
    [recorded, address],
  ];
  const replacements = new Map([
    // edge: s05, of type LoadBalancer, policy Local, two endpoints here and one there.
    ['172.30.1.5', CLUSTER_IPS.edge],
    ['192.0.2.50', EDGE_VIP],
    ['30080', '30999'],
    ['30082', String(EDGE_NODE_PORT)],
    ...atPort80('10.244.0.16', addressOf(here)),
    ...atPort80('10.244.0.17', addressOf(here)),
    ...atPort80('10.244.1.16', addressOf(there)),
    // app: s01, with one endpoint here and one there.
    ['172.30.1.1', CLUSTER_IPS.app],
    ['10.244.0.11', addressOf('pod1')],
    ['10.244.1.11', addressOf('pod2')],
    // app-v2: s06, with one endpoint.
    ['172.30.1.6', CLUSTER_IPS['app-v2']],
    ['10.244.1.18', addressOf('pod3')],
    // api: s10b, of type LoadBalancer, policy Local.
    ['172.30.1.100', CLUSTER_IPS.api],
    ['192.0.2.100', API_VIP],
    ['--dport 8000', '--dport 80'],
    ...atPort80('10.244.0.24', addressOf('api')),
    ...atPort80('10.244.1.24', addressOf('api')),
  ]);
  const recorded = readShared('stock/golden/iptables/iptables-save.txt').replaceAll(/^.*-m nfacct.*\n/gm, '');
  // The longest first: an address with its port before the address. All at once: what replaces one may be another.
  const words = [...replacements.keys()].sort((a, b) => b.length - a.length);
  const any = new RegExp(
    `(?<![\\d.])(${words.map((word) => word.replaceAll('.', '\\.')).join('|')})(?!\\.?\\d)`,
    'g',
  );
  return recorded.replaceAll(any, (word) => replacements.get(word) ?? word);
}

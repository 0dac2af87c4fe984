/** The recordings of stock kube-proxy as text for `compare`, with the objects that it had. */

import type { RuleTexts } from '../../src/compare/readRules.js';
import type { Mode, RuleOptions, World } from '../../src/explain/World.js';
import { GOLDEN_OPTIONS, goldenObjects, upserts } from './goldenTable.js';
import { readShared } from './shared.js';

export function goldenWorld(): World {
  const objects = upserts(goldenObjects()).flatMap((change) =>
    change.type === 'upsert' ? [change.object] : [],
  );
  return {
    services: objects.filter((object) => object.kind === 'Service'),
    slices: objects.filter((object) => object.kind === 'EndpointSlice'),
    nodeName: 'node1',
    zone: 'zone-a',
    nodeAddresses: { IPv4: '10.200.0.10', IPv6: 'fd00:200::10' },
    podCIDRs: { IPv4: '10.244.0.0/24', IPv6: 'fd00:244::/64' },
    hostAddresses: ['10.200.0.10', 'fd00:200::10'],
  };
}

export function goldenRules(mode: Mode): RuleOptions {
  return {
    detectLocal: GOLDEN_OPTIONS.detectLocal,
    masqueradeAll: false,
    localhostNodePorts: true,
    nodePortAddresses: mode === 'nftables' ? ['10.200.0.10/32', 'fd00:200::10/128'] : [],
  };
}

const NOTHING: RuleTexts = { iptablesSave: [], nft: undefined, ipvsadm: undefined, ipset: undefined };
const file = (path: string) => ({ name: path, text: readShared(`stock/golden/${path}`) });

export function goldenTexts(mode: Exclude<Mode, 'userspace'>): RuleTexts {
  switch (mode) {
    case 'iptables':
      return {
        ...NOTHING,
        iptablesSave: [file('iptables/iptables-save.txt'), file('iptables/ip6tables-save.txt')],
      };
    case 'nftables':
      return { ...NOTHING, nft: file('nftables/nft.txt') };
    case 'ipvs':
      return { ...NOTHING, ipvsadm: file('ipvs/ipvsadm-Sn.txt'), ipset: file('ipvs/ipset-save.txt') };
  }
}

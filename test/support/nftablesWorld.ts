/** Routing tables that use everything mode nftables has, and the dataplane over the kernel of the test. */

import { UNHEARD } from '../../src/dataplane/Dataplane.js';
import type { NftablesOptions } from '../../src/dataplane/nftables/desired/NftablesSettings.js';
import { TABLE } from '../../src/dataplane/nftables/desired/sets.js';
import { NftablesDataplane } from '../../src/dataplane/nftables/NftablesDataplane.js';
import { NetlinkProtocol } from '../../src/kernel/netlink/constants.js';
import { NetlinkChannel } from '../../src/kernel/netlink/NetlinkChannel.js';
import { readGeneration } from '../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../src/kernel/nftables/table/NftablesTable.js';
import { servedByOthers } from '../../src/modes/servedByOthers.js';
import type { IpAddress, IpFamily } from '../../src/net/ip.js';
import type { ApiObject } from '../../src/objects/ApiObject.js';
import type { Service } from '../../src/objects/Service.js';
import type { ServiceCIDR } from '../../src/objects/ServiceCIDR.js';
import { cidr, endpoint, ip, service, slice } from './builders.js';

export const OPTIONS: NftablesOptions = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  nodePortAddresses: [],
  detectLocal: { type: 'None' },
  answerPing: true,
  counters: true,
  logGroup: 71,
};

export const HOST_ADDRESSES: readonly IpAddress[] = ['192.0.2.1', '198.51.100.1', '2001:db8::1'].map(ip);

/** A channel that any transaction of a test fits into. */
export function openChannel(): NetlinkChannel {
  return NetlinkChannel.open(NetlinkProtocol.NETFILTER, { sendBufferBytes: 1 << 25 });
}

export function openDataplane(
  options: NftablesOptions = OPTIONS,
  families: readonly IpFamily[] = ['IPv4', 'IPv6'],
  tableOf = (channel: NetlinkChannel, family: IpFamily) => new NftablesTable(channel, family, TABLE),
): NftablesDataplane {
  const channel = openChannel();
  return new NftablesDataplane(
    options,
    {
      tables: families.map((family) => tableOf(channel, family)),
      addresses: () => HOST_ADDRESSES,
      generation: () => readGeneration(channel),
      watch: () => {},
      servedByOthers,
      localhostPorts: () => ({ tcp: 40_001, udp: 40_002 }),
      close: async () => channel.close(),
    },
    UNHEARD,
  );
}

/** Each Service has a use of its own; every one has endpoints of both families. */
export function everything(): ApiObject[] {
  const uses: readonly Partial<Service>[] = [
    {},
    { internalTrafficPolicy: 'Local' },
    { affinitySeconds: 10_800 },
    {
      affinitySeconds: 77,
      ports: [{ name: 'p', protocol: 'UDP', port: 53, nodePort: 30_053 }],
      type: 'NodePort',
    },
    { type: 'NodePort', ports: [{ name: 'p', protocol: 'TCP', port: 80, nodePort: 30_001 }] },
    {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      ports: [{ name: 'p', protocol: 'TCP', port: 80, nodePort: 30_002 }],
      affinitySeconds: 10_800,
      loadBalancerSourceRanges: ['203.0.113.0/25', '203.0.113.0/24', '10.0.0.0/9', '2001:db8:9::/47'].map(
        cidr,
      ),
    },
    {
      type: 'LoadBalancer',
      ports: [{ name: 'p', protocol: 'SCTP', port: 9, nodePort: 0 }],
      loadBalancerSourceRanges: ['203.0.113.7/32', '2001:db8:9::1/128'].map(cidr),
    },
    {
      options: { algorithm: 'least-connections' },
      type: 'NodePort',
      ports: [{ name: 'p', protocol: 'TCP', port: 80, nodePort: 30_009 }],
    },
    { externalIPs: ['192.0.2.80', '2001:db8::80'].map(ip), options: { algorithm: 'round-robin' } },
    { options: { algorithm: 'source-hash', weights: '{"10.1.0.1": 3, "fd00:10::1": 2}' } },
    {
      options: { algorithm: 'maglev' },
      type: 'NodePort',
      ports: [{ name: 'p', protocol: 'TCP', port: 80, nodePort: 30_003 }],
    },
    { options: { weights: '{"10.1.0.2": 0}' } },
  ];
  const services = uses.map((fields, n) =>
    service({
      name: `s${n}`,
      clusterIPs: { IPv4: ip(`10.96.0.${n + 1}`), IPv6: ip(`fd00:96::${n + 1}`) },
      ports: [{ name: 'p', protocol: 'TCP', port: 80, nodePort: 0 }],
      loadBalancerIngress:
        fields.type === 'LoadBalancer'
          ? [`198.18.0.${n + 1}`, `2001:db8:18::${n + 1}`].map((text) => ({
              ip: ip(text),
              ipMode: 'VIP' as const,
            }))
          : [],
      ...fields,
    }),
  );
  const slices = services.flatMap(({ name, ports }) =>
    (['IPv4', 'IPv6'] as const).map((family) =>
      slice(
        [1, 2, 3].map((i) =>
          endpoint(family === 'IPv4' ? `10.1.0.${i}` : `fd00:10::${i}`, {
            nodeName: i === 3 ? 'node2' : 'node1',
          }),
        ),
        {
          name: `${name}-${family}`,
          serviceName: name,
          family,
          ports: ports.map((port) => ({ name: port.name, protocol: port.protocol, port: 8080 })),
        },
      ),
    ),
  );
  const without = [
    service({ name: 'empty', clusterIPs: { IPv4: ip('10.96.9.1'), IPv6: ip('fd00:96:9::1') } }),
    service({
      name: 'far',
      clusterIPs: { IPv4: ip('10.96.9.2'), IPv6: ip('fd00:96:9::2') },
      internalTrafficPolicy: 'Local',
    }),
    slice([endpoint('10.1.0.9')], { name: 'far-1', serviceName: 'far' }),
  ];
  const range: ServiceCIDR = {
    kind: 'ServiceCIDR',
    name: 'kubernetes',
    cidrs: ['10.96.0.0/12', 'fd00:96::/108'].map(cidr),
  };
  return [...services, ...slices, ...without, range];
}

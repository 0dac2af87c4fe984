/** Source address "transparent" where the answers of the endpoint would go past the node: two pods of one bridge, in both families. */
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects, shopSlice } from '../../support/shopObjects.js';
import { SideNamespace } from '../../support/sideNamespace.js';

const VIP = { IPv4: '172.30.0.1', IPv6: 'fd00:96::1' } as const;
const UDP_VIP = { IPv4: '172.30.0.2', IPv6: 'fd00:96::2' } as const;
const NODE = { IPv4: '10.2.0.1', IPv6: 'fd00:2::1' } as const;
const ENDPOINT = { IPv4: '10.2.0.2', IPv6: 'fd00:2::2' } as const;

if (await inNetns(import.meta.url)) {
  shell(
    'ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.all.forwarding=1',
  );
  const server = new SideNamespace({
    link: 'cni0',
    bridged: true,
    address: ENDPOINT.IPv4,
    gateway: NODE.IPv4,
  });
  const neighbour = new SideNamespace({ link: 'pod2', address: '10.2.0.3', gateway: '10.2.0.9' });
  const other = new SideNamespace({ link: 'pod3', address: '10.2.1.2', gateway: '10.2.1.1' });
  t.teardown(() => {
    for (const each of [server, neighbour, other]) each.close();
  });
  shell('ip addr flush dev pod2; ip link set pod2 master cni0');
  neighbour.run('ip route replace default via 10.2.0.1');
  shell('ip addr add fd00:2::1/64 dev cni0 nodad; ip addr add fd00:2:0:1::1/64 dev pod3 nodad');
  const v6 = [
    [server, 'fd00:2::2', NODE.IPv6],
    [neighbour, 'fd00:2::3', NODE.IPv6],
    [other, 'fd00:2:0:1::2', 'fd00:2:0:1::1'],
  ] as const;
  for (const [pod, address, gateway] of v6) {
    pod.run(`ip addr add ${address}/64 dev eth0 nodad`);
    pod.run(`ip route add default via ${gateway}`);
  }

  await using agent = new AgentProcess(
    'mode: userspace\nclusterCIDR: 10.2.0.0/16,fd00:2::/56\npenstock: {sourceAddress: transparent}\n',
  );
  const both = (name: string, vips: Readonly<Record<'IPv4' | 'IPv6', string>>, protocol: 'TCP' | 'UDP') => [
    ...shopObjects({
      name,
      clusterIP: vips.IPv4,
      endpoints: [ENDPOINT.IPv4],
      protocol,
      spec: {
        clusterIPs: [vips.IPv4, vips.IPv6],
        ipFamilies: ['IPv4', 'IPv6'],
        ipFamilyPolicy: 'RequireDualStack',
      },
    }),
    shopSlice(
      name,
      'IPv6',
      [{ addresses: [ENDPOINT.IPv6], nodeName: 'node1' }],
      [{ name: 'http', port: 8080, protocol }],
    ),
  ];
  agent.write('web.json', [...both('web', VIP, 'TCP'), ...both('dns', UDP_VIP, 'UDP')]);
  agent.start();
  await agent.ready(60_000);

  for (const [family, own] of [
    ['IPv4', '10.2.1.2'],
    ['IPv6', 'fd00:2:0:1::2'],
  ] as const) {
    await t.test(family, async (t) => {
      t.equal(
        await neighbour.ask(VIP[family]),
        NODE[family],
        'a pod of the same bridge is served, with the address of the node',
      );
      t.equal(await other.ask(VIP[family]), own, 'a pod with a link of its own keeps its address');
      t.equal(await neighbour.askByDatagram(UDP_VIP[family]), NODE[family], 'so it is with datagrams');
      t.equal(await other.askByDatagram(UDP_VIP[family]), own);
      const told = `endpoint ${family === 'IPv4' ? ENDPOINT.IPv4 : `[${ENDPOINT.IPv6}]`}:8080 and a client are neighbours on one link`;
      t.ok(await eventually(async () => agent.output.includes(told)), 'the log says so');
    });
  }
  await t.test('what is counted and explained', async (t) => {
    const metrics = await (await fetch('http://127.0.0.1:10249/metrics')).text();
    t.match(metrics, /^penstock_proxy_node_addressed_connections_total 4$/m);
    t.match(shell(`${PENSTOCK} explain 10.2.0.3 ${VIP.IPv4}:80`), /neighbour of the client on one link/);
  });
}

/** Whose address endpoints see, by default: the client's, and the node's where answers would not come back. */
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { SideNamespace } from '../../support/sideNamespace.js';

const [VIP, OTHER_VIP] = ['172.30.0.1', '172.30.0.2'] as const;

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0');
  const server = new SideNamespace({ link: 'cni0', bridged: true, address: '10.2.0.2', gateway: '10.2.0.1' });
  const client = new SideNamespace({ link: 'pod1', address: '10.2.1.2', gateway: '10.2.1.1' });
  const outside = new SideNamespace({ link: 'eth0', address: '192.168.77.2', gateway: '192.168.77.1' });
  // Another pod of the bridge: what the two send each other never comes to the node.
  const neighbour = new SideNamespace({ link: 'pod2', address: '10.2.0.3', gateway: '10.2.0.9' });
  t.teardown(() => {
    for (const each of [server, client, outside, neighbour]) each.close();
  });
  shell('ip addr flush dev pod2; ip link set pod2 master cni0');
  neighbour.run('ip route replace default via 10.2.0.1');

  await using agent = new AgentProcess('mode: userspace\nclusterCIDR: 10.2.0.0/16\n');
  agent.write('web.json', [
    ...shopObjects({ name: 'web', clusterIP: VIP, endpoints: ['10.2.0.2'] }),
    ...shopObjects({
      name: 'ext',
      clusterIP: OTHER_VIP,
      endpoints: ['10.2.0.2'],
      spec: { externalIPs: ['203.0.113.7'], externalTrafficPolicy: 'Local' },
    }),
  ]);
  agent.start();
  await agent.ready(60_000);

  await t.test('a pod with a link of its own', async (t) => {
    for (let i = 0; i < 3; i++) t.equal(await client.ask(VIP), '10.2.1.2');
  });
  await t.test('a client from outside, policy Local', async (t) => {
    t.equal(await outside.ask('203.0.113.7'), '192.168.77.2');
  });
  await t.test('two pods of one bridge', async (t) => {
    for (let i = 0; i < 4; i++)
      t.equal(await neighbour.ask(VIP), '10.2.0.1', 'it is served, with the address of the node');
    const told = 'endpoint 10.2.0.2:8080 does not answer to the address of a client';
    t.ok(await eventually(async () => agent.output.includes(told)), 'that is told');
    t.equal(await neighbour.ask(VIP), '10.2.0.1');
    t.equal(await client.ask(VIP), '10.2.1.2', 'others keep theirs');
  });
}

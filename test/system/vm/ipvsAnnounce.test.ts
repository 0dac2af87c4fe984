/** Mode ipvs and addresses announced by layer 2: every node has them on kube-ipvs0, and one alone may answer ARP for them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { askFor, makeLan } from '../../support/balancer/lan.js';
import { LanAgent } from '../../support/balancer/lanAgent.js';
import { Talk } from '../../support/balancer/Talk.js';
import { inVm } from '../../support/inVm.js';
import { eventually, shell } from '../../support/iptables.js';
import { LIMIT_MS, READY_MS } from '../../support/ipvsAgent.js';
import { shopSlice } from '../../support/shopObjects.js';

const VIP = '192.0.2.100';
const NODES = [
  ['node1', 1],
  ['node2', 2],
] as const;

const announcing = (kind: string, spec: object) => ({
  apiVersion: 'metallb.io/v1beta1',
  kind,
  metadata: { name: 'lan', namespace: 'metallb-system' },
  spec,
});
const ITEMS = [
  announcing('IPAddressPool', { addresses: ['192.0.2.96/28'] }),
  announcing('L2Advertisement', { ipAddressPools: ['lan'] }),
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'cart', namespace: 'shop', annotations: { 'penstock.io/load-balancer-ips': VIP } },
    spec: { type: 'LoadBalancer', clusterIP: '10.96.0.10', ports: [{ port: 80 }] },
  },
  shopSlice(
    'cart',
    'IPv4',
    NODES.map(([nodeName, last]) => ({ nodeName, addresses: [`192.0.2.${last}`] })),
  ),
];

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  makeLan();
  const folder = mkdtempSync(join(tmpdir(), 'penstock-ipvs-lb-'));
  writeFileSync(join(folder, 'shop.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items: ITEMS }));
  // Tier 1 needs nf_tables that this kernel has not; without it the owner carries all itself.
  const nodes = NODES.map(
    ([name, last]) => new LanAgent(name, last, { folder, nodes: NODES, settings: ['twoTiers: false'] }),
  );
  t.teardown(() => {
    for (const node of nodes) node.close();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const node of nodes) {
    node.mode = 'ipvs';
    node.serve();
    node.start();
  }

  t.test('one node announces, and it alone answers', async (t) => {
    let owners: string[] = [];
    const settled = await eventually(() => {
      owners = nodes
        .filter((node) => /announces 192\.0\.2\.100 on eth0/.test(node.output))
        .map(({ name }) => name);
      return nodes.every(({ output }) => /synced: /.test(output)) && owners.length > 0;
    }, READY_MS);
    t.ok(settled, nodes.map(({ output }) => output).join('\n'));
    await eventually(() => nodes.every((node) => node.run('ip address show kube-ipvs0').includes(VIP)));
    for (const node of nodes) {
      t.match(node.run('ip address show kube-ipvs0'), VIP, `${node.name} has the address itself`);
      t.equal(node.run('cat /proc/sys/net/ipv4/conf/eth0/arp_ignore').trim(), '1');
      t.equal(node.run('cat /proc/sys/net/ipv4/conf/eth0/arp_announce').trim(), '2');
    }
    // While the first syncs keep both busy, neither hears the other.
    shell('sleep 3');
    const moves = () => nodes.map(({ output }) => output.match(/(no longer )?announces 192/g)?.length ?? 0);
    const before = moves();
    const owner = nodes.find((node) =>
      node
        .report()
        .addresses.some(
          ({ address, here }) => address === VIP && here.some(({ state }) => state === 'owning'),
        ),
    );
    t.ok(owner, 'somebody owns it');
    for (let i = 0; i < 10; i++) t.equal(askFor(VIP), owner?.mac, 'always the same one answers');
    for (const node of nodes) {
      t.notMatch(node.output, /is the own address of node/);
      t.notMatch(node.output, /conflict|also answers/i);
    }
    t.same(moves(), before, 'and it stays there');
    const talk = new Talk(VIP, 80);
    t.match(await talk.ask(5000), /^node[12] /, 'and a client is served');
    talk.socket.destroy();
  });

  t.test('cleanup puts the kernel back', async (t) => {
    for (const node of nodes) {
      await node.end('SIGTERM');
      node.penstock('cleanup');
      t.equal(node.run('cat /proc/sys/net/ipv4/conf/eth0/arp_ignore').trim(), '0');
    }
  });
}

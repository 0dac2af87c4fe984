/** What is known about the node changes while penstock runs: the rules follow without a restart. */
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { shopObjects } from '../../support/shopObjects.js';
import { SideNamespace } from '../../support/sideNamespace.js';

const NODE_PORT = 30_080;
/** Of the node towards the endpoint: the source of what is masqueraded. */
const NODE_SIDE = '10.1.0.254';
const POD = '10.244.1.5';
const OUTSIDE = '192.168.9.5';

interface NodeFields {
  readonly podCIDRs?: readonly string[];
  readonly zone?: string;
  readonly addresses?: readonly string[];
}

const node = ({ podCIDRs = [], zone, addresses = [] }: NodeFields) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node1', labels: zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone } },
  spec: { podCIDRs },
  status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
});

const DETECTORS: readonly (readonly [mode: string, settings: string])[] = [
  ['ClusterCIDR', 'clusterCIDR: 10.244.0.0/16,fd00:244::/56'],
  ['NodeCIDR', 'detectLocalMode: NodeCIDR'],
  ['BridgeInterface', 'detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cbr0}'],
  ['InterfaceNamePrefix', 'detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: cb}'],
];

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(['10.2.0.1', '10.2.0.2']);
  shell('sysctl -qw net.ipv4.ip_forward=1');
  const pod = new SideNamespace({ link: 'cbr0', bridged: true, address: POD, gateway: '10.244.1.1' });
  const outside = new SideNamespace({ link: 'ext0', address: OUTSIDE, gateway: '192.168.9.1' });
  const endpoint = new SideNamespace({ link: 'be0', address: '10.1.0.1', gateway: NODE_SIDE });
  t.teardown(() => {
    server.close();
    for (const each of [pod, outside, endpoint]) each.close();
  });
  const web = shopObjects({ name: 'web', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1'] });

  for (const mode of ['iptables', 'nftables']) {
    for (const [name, settings] of DETECTORS) {
      t.test(`mode ${mode}, ${name}: pods keep their address, others are masqueraded`, async (t) => {
        await using agent = new AgentProcess(`mode: ${mode}\n${settings}\n`);
        agent.write('web.json', [...web, node({ podCIDRs: ['10.244.1.0/24'] })]);
        agent.start();
        t.ok(await agent.ready());
        t.ok(await eventually(async () => (await pod.ask('172.30.0.1')) === POD), 'a pod');
        t.equal(await outside.ask('172.30.0.1'), NODE_SIDE, 'not a pod');
        await agent.end('SIGTERM');
        shell(`${PENSTOCK} cleanup`);
      });
    }

    t.test(`mode ${mode}: podCIDRs come, and change`, async (t) => {
      await using agent = new AgentProcess(`mode: ${mode}\ndetectLocalMode: NodeCIDR\n`);
      agent.write('web.json', [...web, node({})]);
      agent.start();
      t.ok(await agent.ready());
      t.match(agent.output, 'the Node object has no spec.podCIDRs yet');
      t.equal(await outside.ask('172.30.0.1'), OUTSIDE, 'nobody is told apart');
      agent.write('web.json', [...web, node({ podCIDRs: ['10.244.1.0/24'] })]);
      t.ok(
        await eventually(async () => (await outside.ask('172.30.0.1')) === NODE_SIDE),
        'the range has come',
      );
      t.equal(await pod.ask('172.30.0.1'), POD);
      agent.write('web.json', [...web, node({ podCIDRs: ['192.168.9.0/24'] })]);
      t.ok(await eventually(async () => (await pod.ask('172.30.0.1')) === NODE_SIDE), 'it is another');
      t.equal(await outside.ask('172.30.0.1'), OUTSIDE);
      await agent.end('SIGTERM');
      shell(`${PENSTOCK} cleanup`);
    });

    t.test(`mode ${mode}: the node moves to another zone`, async (t) => {
      const [service, slice] = shopObjects({
        name: 'cart',
        clusterIP: '172.30.0.2',
        endpoints: ['10.2.0.1'],
      });
      const hinted = (address: string, zone: string) => ({
        addresses: [address],
        nodeName: 'node2',
        conditions: { ready: true },
        hints: { forZones: [{ name: zone }] },
      });
      const objects = [service, { ...slice, endpoints: [hinted('10.2.0.1', 'a'), hinted('10.2.0.2', 'b')] }];
      const cart = (zone: string) => [...(objects as object[]), node({ zone })];
      await using agent = new AgentProcess(`mode: ${mode}\n`);
      agent.write('cart.json', cart('a'));
      agent.start();
      t.ok(await agent.ready());
      const reached = async () =>
        new Set(await Promise.all(Array.from({ length: 12 }, () => ask('172.30.0.2'))));
      t.same(await reached(), new Set(['10.2.0.1']), 'zone a');
      agent.write('cart.json', cart('b'));
      t.ok(await eventually(async () => (await ask('172.30.0.2')) === '10.2.0.2'));
      t.same(await reached(), new Set(['10.2.0.2']), 'zone b');
      await agent.end('SIGTERM');
      shell(`${PENSTOCK} cleanup`);
    });

    t.test(`mode ${mode}: node ports on the node's own address, which changes`, async (t) => {
      shell('ip addr add 192.168.78.1/24 dev out');
      const objects = shopObjects({
        name: 'web',
        clusterIP: '172.30.0.1',
        endpoints: ['10.1.0.1'],
        spec: { type: 'NodePort', port: { nodePort: NODE_PORT } },
      });
      const answers = async (address: string) => (await ask(address, NODE_PORT)) === NODE_SIDE;
      const settings = `mode: ${mode}\nnodePortAddresses: [primary]\niptables: {localhostNodePorts: false}\n`;
      await using agent = new AgentProcess(settings);
      agent.write('web.json', [...objects, node({ addresses: ['192.168.77.1'] })]);
      agent.start();
      t.ok(await agent.ready());
      t.ok(await answers('192.168.77.1'), 'the address of the Node object');
      t.notOk(await answers('192.168.78.1'), 'no other');
      agent.write('web.json', [...objects, node({ addresses: ['192.168.78.1'] })]);
      t.ok(await eventually(() => answers('192.168.78.1')), 'the Node object has another');
      t.notOk(await answers('192.168.77.1'));

      await agent.end('SIGTERM');
      agent.write('web.json', objects);
      agent.start();
      t.ok(await agent.ready());
      t.ok(
        await eventually(() => answers('192.168.77.1')),
        'without a Node object: that of the default route',
      );
      shell('ip route replace default dev out src 192.168.78.1');
      shell('ip addr add 192.168.79.1/24 dev out');
      t.ok(await eventually(() => answers('192.168.78.1')), 'which is another');
      t.notOk(await answers('192.168.77.1'));
      await agent.end('SIGTERM');
      shell(`${PENSTOCK} cleanup`);
      shell(
        'ip addr del 192.168.79.1/24 dev out; ip route replace default dev out; ip addr del 192.168.78.1/24 dev out',
      );
    });
  }
}

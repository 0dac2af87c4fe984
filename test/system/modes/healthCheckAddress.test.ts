/** Health-check node ports are on the addresses of node ports. With `primary` the Node object says which that is. */
import t from 'tap';
import { AgentProcess, status } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { shopObjects } from '../../support/shopObjects.js';

const HEALTH_PORT = 32_100;

const node = (address: string) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node1' },
  status: { addresses: [{ type: 'InternalIP', address }] },
});

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(['10.2.0.1']);
  t.teardown(() => server.close());
  shell('ip addr add 192.168.78.1/24 dev out');

  t.test("a health-check node port moves with the node's address", async (t) => {
    const objects = shopObjects({
      name: 'web',
      clusterIP: '172.30.0.1',
      endpoints: ['10.2.0.1'],
      spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: HEALTH_PORT },
    });
    const answers = async (address: string) => (await status('/', HEALTH_PORT, address)) === 200;
    await using agent = new AgentProcess('mode: nftables\nnodePortAddresses: [primary]\n');
    agent.write('web.json', [...objects, node('192.168.77.1')]);
    agent.start();
    t.ok(await agent.ready());
    t.ok(await eventually(() => answers('192.168.77.1')));
    t.notOk(await answers('192.168.78.1'), 'no other');
    agent.write('web.json', [...objects, node('192.168.78.1')]);
    t.ok(await eventually(() => answers('192.168.78.1'), 5000), 'the Node object has another');
    t.notOk(await answers('192.168.77.1'));
  });
}

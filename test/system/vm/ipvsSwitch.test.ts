/** A node changes between modes ipvs and iptables while clients connect. */
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inVm } from '../../support/inVm.js';
import { eventually } from '../../support/iptables.js';
import {
  addresses,
  CART,
  cleanUp,
  LIMIT_MS,
  legacyRules,
  READY_MS,
  servers,
  sets,
  settings,
} from '../../support/ipvsAgent.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { shopObjects } from '../../support/shopObjects.js';

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(CART.endpoints);
  t.teardown(() => server.close());

  t.test('ipvs → iptables → ipvs under traffic: no connect fails, nothing is left', async (t) => {
    t.setTimeout(LIMIT_MS);
    await using agent = new AgentProcess(settings('ipvs'));
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    await agent.ready(READY_MS);
    const client = new PacedClient('172.30.0.1', CART.endpoints);

    agent.configure(settings('iptables'));
    await agent.end('SIGTERM');
    agent.start();
    await agent.ready(READY_MS);
    const left = () => servers() + sets() + addresses();
    t.ok(await eventually(() => left() === ''), 'nothing is left of mode ipvs');
    t.notMatch(legacyRules(), /IPVS|PENSTOCK|KUBE-NODE-PORT|KUBE-LOAD-BALANCER/);
    t.match(legacyRules(), /KUBE-SVC-/);
    t.same(client.failures, [], `none of ${client.connects} connects failed`);

    agent.configure(settings('ipvs'));
    await agent.end('SIGTERM');
    agent.start();
    await agent.ready(READY_MS);
    const others = /KUBE-(SVC|SEP|NODEPORTS|EXTERNAL-SERVICES|PROXY-CANARY)/;
    t.ok(await eventually(() => !others.test(legacyRules())), 'nothing is left of mode iptables');
    t.match(servers(), /172\.30\.0\.1:80/);

    await client.stop();
    t.ok(client.connects > 20, `${client.connects} connects were made`);
    t.same(client.failures, [], 'none failed');
    await agent.end('SIGTERM');
    cleanUp();
    t.equal(left(), '');
    t.notMatch(legacyRules(), /KUBE|PENSTOCK/);
  });
}

/** The emergency way back to a kube-proxy in mode ipvs: the agent is dead, one command takes away what kube-proxy does not have. */
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inVm } from '../../support/inVm.js';
import { shell } from '../../support/iptables.js';
import { LIMIT_MS, legacyRules, READY_MS, servers, settings } from '../../support/ipvsAgent.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { StandInIpvs } from '../../support/StandInIpvs.js';
import { shopObjects } from '../../support/shopObjects.js';
import { CART, ofOurs, PAUSE_MS, PODS, scaled } from '../../support/swapWithIpvs.js';

const [FIRST = '', , LAST = ''] = PODS;

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(PODS);
  t.teardown(() => server.close());

  t.test('cleanup --keep ipvs leaves kube-proxy what it goes on with, and nothing else', async (t) => {
    t.setTimeout(LIMIT_MS);
    await using agent = new AgentProcess(settings('ipvs'));
    // Under policy Local with its endpoint elsewhere: dropped by a set, and a virtual server of a mark for clients here.
    const local = {
      name: 'local',
      clusterIP: '172.30.0.9',
      endpoints: [FIRST],
      spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', port: { nodePort: 30_009 } },
    };
    const elsewhere = JSON.parse(JSON.stringify(shopObjects(local)).replaceAll('"node1"', '"node2"'));
    agent.write('shop.json', [...shopObjects(CART), ...elsewhere]);
    agent.start();
    await agent.ready(READY_MS);
    await agent.end('SIGKILL');
    t.match(ofOurs().join('\n'), /-f \d+/, 'there is a mark');
    const client = new PacedClient(CART.clusterIP, PODS, PAUSE_MS);

    const parameter = 'cat /proc/sys/net/ipv4/vs/conntrack';
    const cleaned = shell(`${PENSTOCK} cleanup --keep ipvs`);
    t.match(cleaned, /clean: nothing of penstock is in this kernel/);
    t.strictSame(ofOurs(), []);
    t.match(servers(), /-A -t 172\.30\.0\.1:80/, 'virtual servers stay');
    t.match(legacyRules(), /KUBE-SERVICES/);
    t.equal(shell(parameter).trim(), '1', 'kernel parameters stay: kube-proxy sets them at its start only');
    const other = new StandInIpvs();
    await other.write([scaled(LAST)]);
    t.same([await ask(CART.clusterIP), await ask(CART.clusterIP)], [LAST, LAST], 'kube-proxy goes on');
    const unseen = shell(`${PENSTOCK} cleanup --keep auto 2>&1 || true`);
    t.match(unseen, /the link kube-ipvs0 is here, which only a kube-proxy writes.* nothing was removed/);
    await client.stop();
    t.same(client.failures, [], `none of ${client.connects} connects failed`);

    await other.remove();
    shell(`${PENSTOCK} cleanup`);
    t.equal(shell(parameter).trim(), '0', 'a later clean-up knows what they were');
  });
}

/**
 * Mode ipvs takes a node from kube-proxy's mode iptables and hands it back under traffic, while Services come and change: no connect
 * fails.
 */
import t from 'tap';
import { AgentProcess, status } from '../../support/AgentProcess.js';
import { inVm } from '../../support/inVm.js';
import { eventually } from '../../support/iptables.js';
import {
  addresses,
  LIMIT_MS,
  legacyRules,
  READY_MS,
  servers,
  sets,
  settings,
} from '../../support/ipvsAgent.js';
import { leaveNode } from '../../support/leaveNode.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { StandIn, type StandInService } from '../../support/StandIn.js';
import { shopObjects } from '../../support/shopObjects.js';

const PODS = ['10.1.0.1', '10.1.0.2', '10.1.0.3'];
const [FIRST = '', , LAST = ''] = PODS;
const CART: StandInService = { name: 'cart', clusterIP: '172.30.0.1', endpoints: PODS };

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback(PODS);
  t.teardown(() => server.close());

  t.test('mode ipvs takes the node from kube-proxy in mode iptables and leaves it to that', async (t) => {
    t.setTimeout(LIMIT_MS);
    await using agent = new AgentProcess(settings('ipvs'));
    const write = (services: readonly StandInService[]) =>
      agent.write(
        'shop.json',
        services.flatMap((service) => shopObjects(service)),
      );
    write([CART]);
    new StandIn('iptables-legacy').write([CART]);
    const client = new PacedClient(CART.clusterIP, PODS);
    agent.start();
    await agent.ready(READY_MS);
    t.ok(await eventually(() => !legacyRules().includes('KUBE-SVC-'), READY_MS), 'their chains go');

    const leaving = leaveNode('--timeout', '240');
    t.ok(
      await eventually(() => agent.output.includes('no other proxy has rules here'), READY_MS),
      'it waits',
    );
    t.equal(await status('/readyz'), 200, 'and serves on');

    // A Service comes and one is scaled; the other proxy is a step behind.
    const other = new StandIn('iptables-legacy');
    const fresh = { name: 'fresh', clusterIP: '172.30.0.2', endpoints: [FIRST] };
    write([CART, fresh]);
    t.ok(await eventually(async () => (await ask(fresh.clusterIP)) === FIRST, READY_MS), 'a new Service');
    other.write([CART]);
    t.ok(
      await eventually(() => /shop\/fresh.* instead of 10\.1\.0\.1:8080/.test(agent.output), READY_MS),
      'lacks it',
    );
    t.match(servers(), /172\.30\.0\.1:80/, 'ours are in force');
    const scaled = [{ ...CART, endpoints: PODS.slice(1) }, fresh];
    write(scaled);
    other.write(scaled);
    const { code, output } = await leaving;
    t.equal(code, 0, output);
    t.match(output, /left: kube-proxy, mode iptables serves this node/);
    t.equal(servers() + sets() + addresses(), '', 'nothing of mode ipvs is left');
    t.match(legacyRules(), /KUBE-SVC-/, 'theirs are');
    t.notMatch(legacyRules(), /PENSTOCK|KUBE-LOAD-BALANCER/);
    t.not(await status('/readyz'), 200, 'it idles');

    // The other one alone follows what changes: a Service goes, one comes, one is scaled.
    const later = [
      { ...CART, endpoints: [LAST] },
      { name: 'late', clusterIP: '172.30.0.3', endpoints: PODS },
    ];
    write(later);
    other.write(later);
    t.ok(PODS.includes(await ask('172.30.0.3')), 'a later Service');
    t.same([await ask(CART.clusterIP), await ask(CART.clusterIP)], [LAST, LAST], 'one endpoint');
    await client.stop();
    t.ok(client.connects > 20, `${client.connects} connects were made`);
    t.same(client.failures, [], 'none failed');
    await agent.end('SIGTERM');
  });
}

/** A node is handed back to another proxy under traffic, while Services come, go and change: no connect fails. */
import t from 'tap';
import { AgentProcess, PENSTOCK, status } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, listedRuleset, savedRules, shell } from '../../support/iptables.js';
import { leaveNode } from '../../support/leaveNode.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { StandIn, type StandInMode, type StandInService } from '../../support/StandIn.js';
import { shopObjects } from '../../support/shopObjects.js';

const PODS = ['10.1.0.1', '10.1.0.2', '10.1.0.3'];
const CART: StandInService = { name: 'cart', clusterIP: '172.30.0.1', endpoints: PODS };
const pairs: readonly (readonly [string, StandInMode])[] = [
  ['nftables', 'iptables-nft'],
  ['nftables', 'nftables'],
  ['userspace', 'iptables-nft'],
  ['iptables', 'nftables'],
  ['iptables', 'iptables-nft'],
];

const hasOurs = (mode: string) =>
  mode === 'iptables' ? savedRules().includes('KUBE-SERVICES') : /table ip6? penstock/.test(listedRuleset());

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(PODS);
  t.teardown(() => server.close());

  for (const [mode, stock] of pairs) {
    t.test(`mode ${mode} leaves the node to kube-proxy's ${stock}`, async (t) => {
      await using agent = new AgentProcess(`mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n`);
      let services: readonly StandInService[] = [CART];
      const write = () =>
        agent.write(
          'shop.json',
          services.flatMap((service) => shopObjects(service)),
        );
      write();
      agent.start();
      await agent.ready(90_000);
      const client = new PacedClient(CART.clusterIP, PODS);

      const leaving = leaveNode('--timeout', '120');
      t.ok(await eventually(() => agent.output.includes('waiting until'), 60_000), 'it was asked');
      t.ok(
        await eventually(() => agent.output.includes('no other proxy has rules here'), 60_000),
        'and says why it waits',
      );
      t.equal(await status('/readyz'), 200, 'it serves on');
      // What changes while it waits is served, and the other proxy is a step behind at first.
      const other = new StandIn(stock);
      services = [CART, { name: 'fresh', clusterIP: '172.30.0.2', endpoints: [PODS[0] as string] }];
      write();
      t.ok(await eventually(async () => (await ask('172.30.0.2')) === PODS[0]), 'a new Service');
      const isShared = mode === 'iptables' && stock.startsWith('iptables');
      if (!isShared) {
        other.write([CART]);
        t.ok(
          await eventually(() => /shop\/fresh.* instead of 10\.1\.0\.1:8080/.test(agent.output), 60_000),
          'theirs lack it',
        );
        t.ok(hasOurs(mode));
      }
      services = services.map((service) => ({ ...service, endpoints: PODS.slice(1) }));
      write();
      await eventually(async () => (await ask('172.30.0.2')) !== PODS[0]);
      other.write(services);
      const { code, output } = await leaving;
      t.equal(code, 0, output);
      t.match(output, /left: kube-proxy, mode (iptables|nftables) serves this node/);
      t.match(agent.output, /our rules are removed, idling/);
      if (!isShared) t.notOk(hasOurs(mode), 'nothing of ours is left');
      t.notMatch(listedRuleset('tables'), /penstock/, 'nor what stood beside the rules');
      t.not(await status('/readyz'), 200, 'it is not ready, and its port is free');

      // From now on the other one alone follows what changes.
      services = [
        { ...CART, endpoints: [PODS[2] as string] },
        { name: 'late', clusterIP: '172.30.0.3', endpoints: PODS },
      ];
      write();
      other.write(services);
      t.equal(await ask('172.30.0.3').then((answer) => PODS.includes(answer)), true, 'a later Service');
      const answers = new Set<string>();
      for (let i = 0; i < 10; i++) answers.add(await ask(CART.clusterIP));
      t.same([...answers], [PODS[2]], 'a Service with fewer endpoints');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      if (mode !== 'iptables') t.notOk(hasOurs(mode), 'it writes nothing any more');

      // Started again it idles at once: another proxy serves.
      await agent.end('SIGTERM');
      agent.output = '';
      agent.start();
      if (!isShared) {
        t.ok(await eventually(() => agent.output.includes('idling'), 60_000), 'it still is to leave');
        t.notOk(hasOurs(mode));
        const back = await leaveNode('--withdraw', '--timeout', '90');
        t.equal(back.code, 0, back.output);
        t.match(back.output, `serving in mode ${mode}`);
        t.ok(hasOurs(mode), 'it serves again');
        t.equal(await ask('172.30.0.3').then((answer) => PODS.includes(answer)), true);
      } else await leaveNode('--withdraw', '--timeout', '90');

      await client.stop();
      t.ok(client.connects > 100, `${client.connects} connects were made`);
      t.same(client.failures, [], 'none failed');
      await agent.end('SIGTERM');
      // Chains that both write go with the last of them.
      if (!isShared) other.remove();
      shell(`${PENSTOCK} cleanup`);
    });
  }
}

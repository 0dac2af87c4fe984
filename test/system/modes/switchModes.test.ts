/** A node changes its mode while clients connect. */
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, listedRuleset, savedRules, shell } from '../../support/iptables.js';
import { serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { shopObjects } from '../../support/shopObjects.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1', '10.1.0.2'] };
const settings = (mode: string, rest = '') => `mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n${rest}`;

const hasIptablesRules = () => savedRules('iptables-nft').includes('KUBE-');
const hasLegacyRules = () => savedRules('iptables-legacy').includes('KUBE-');
/** That of mode nftables; the table that logs failed connections belongs to every mode. */
const hasTable = () => /^table ip6? penstock \{/m.test(listedRuleset());

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(CART.endpoints);
  t.teardown(() => server.close());

  for (const backend of ['nft', 'legacy']) {
    t.test(
      `iptables (${backend}) → nftables → iptables under traffic: no connect fails, nothing is left`,
      async (t) => {
        const iptables = settings('iptables', `penstock: {iptablesBackend: ${backend}}\n`);
        const hasRules = backend === 'nft' ? hasIptablesRules : hasLegacyRules;
        const routeLocalnet = () => shell('cat /proc/sys/net/ipv4/conf/all/route_localnet').trim();
        await using agent = new AgentProcess(iptables);
        agent.write('cart.json', shopObjects(CART));
        agent.start();
        t.ok(await agent.ready());
        const client = new PacedClient('172.30.0.1', CART.endpoints);
        for (let round = 0; round < 3; round++) {
          agent.configure(settings('nftables'));
          await agent.end('SIGTERM');
          agent.start();
          t.ok(await agent.ready(), 'nftables');
          t.ok(hasTable());
          t.ok(await eventually(() => !hasRules()), 'nothing is left of mode iptables');
          t.equal(routeLocalnet(), '0', 'nor of its kernel parameter');

          agent.configure(iptables);
          await agent.end('SIGTERM');
          agent.start();
          t.ok(await agent.ready(), 'iptables');
          t.ok(hasRules());
          t.ok(await eventually(() => !hasTable()), 'nothing is left of mode nftables');
        }
        await client.stop();
        t.ok(client.connects > 50, `${client.connects} connects were made`);
        t.same(client.failures, [], 'none failed');
        await agent.end('SIGTERM');
        shell(`${PENSTOCK} cleanup`);
      },
    );
  }

  t.test('beside another proxy its iptables chains stay', async (t) => {
    shell('iptables -t nat -N KUBE-SERVICES; iptables -t nat -A OUTPUT -j KUBE-SERVICES');
    const before = savedRules();
    await using agent = new AgentProcess(settings('nftables', 'penstock: {serviceProxyName: edge}\n'));
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    t.ok(await agent.ready());
    t.ok(await eventually(() => hasTable()));
    t.equal(savedRules(), before);
    await agent.end('SIGTERM');
  });
}

/**
 * Whose rules decide while penstock's and another proxy's are both there: penstock's while its agent runs, the other's once it
 * has ended, whoever came first. Each proxy leads to an endpoint of its own, so that the answer tells who decided.
 */
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, savedRules, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { StandIn, type StandInMode } from '../../support/StandIn.js';
import { shopObjects } from '../../support/shopObjects.js';

const OURS = '10.1.0.1';
const THEIRS = '10.1.0.2';
const CART = { name: 'cart', clusterIP: '172.30.0.1' };
const NEW = { name: 'fresh', clusterIP: '172.30.0.2', endpoints: [THEIRS] };
const RANGE = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'ServiceCIDR',
  metadata: { name: 'kubernetes' },
  spec: { cidrs: ['172.30.0.0/16'] },
};
const TIMES = 8;

/** Who answers new connections: every one must say the same. */
async function whoAnswers(address = CART.clusterIP): Promise<string> {
  const answers = new Set<string>();
  for (let i = 0; i < TIMES; i++) answers.add(await ask(address));
  return [...answers].sort().join(' ');
}

const STOCK: readonly StandInMode[] = ['iptables-nft', 'iptables-legacy', 'nftables'];

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback([OURS, THEIRS]);
  t.teardown(() => server.close());

  for (const mode of ['nftables', 'userspace'] as const) {
    for (const stock of STOCK) {
      t.test(`mode ${mode} beside kube-proxy's ${stock}`, async (t) => {
        await using agent = new AgentProcess(`mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n`);
        agent.write('cart.json', [...shopObjects({ ...CART, endpoints: [OURS] }), RANGE]);
        let other = new StandIn(stock);
        const theirs = () => other.write([{ ...CART, endpoints: [THEIRS] }]);

        agent.start();
        await agent.ready(90_000);
        t.equal(await whoAnswers(), OURS, 'alone');
        theirs();
        t.equal(await whoAnswers(), OURS, 'the other came later: ours while the agent runs');
        await agent.end('SIGTERM');
        t.equal(await whoAnswers(), THEIRS, 'the agent has ended: theirs');
        other.write([{ ...CART, endpoints: [THEIRS] }, NEW]);
        t.equal(await whoAnswers(NEW.clusterIP), THEIRS, 'a Service that came after it');
        agent.start();
        await agent.ready(90_000);
        t.equal(await whoAnswers(), OURS, 'ours again, although they were there first');
        // At its start penstock removes chains that kube-proxy's mode iptables has left; one that runs writes them anew.
        if (stock !== 'nftables') {
          t.ok(await eventually(() => !savedRules(stock).includes('KUBE-SERVICES')), 'their chains go');
          other = new StandIn(stock);
          theirs();
        }
        await agent.end('SIGTERM');
        t.equal(await whoAnswers(), THEIRS, 'theirs again');
        shell(`${PENSTOCK} cleanup --mode ${mode}`);
        t.equal(await whoAnswers(), THEIRS, 'and without ours');
        other.remove();
      });

      t.test(`mode ${mode} has ended before kube-proxy's ${stock} come`, async (t) => {
        await using agent = new AgentProcess(`mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n`);
        agent.write('cart.json', [...shopObjects({ ...CART, endpoints: [OURS] }), RANGE]);
        const other = new StandIn(stock);
        agent.start();
        await agent.ready(90_000);
        await agent.end('SIGTERM');
        if (mode === 'nftables')
          t.equal(await whoAnswers(), OURS, 'nobody else is there: ours stay in force');
        other.write([{ ...CART, endpoints: [THEIRS] }, NEW]);
        t.equal(await whoAnswers(), THEIRS, 'theirs');
        t.equal(await whoAnswers(NEW.clusterIP), THEIRS, 'and what only they know is not refused by ours');
        shell(`${PENSTOCK} cleanup --mode ${mode}`);
        other.remove();
      });
    }
  }
}

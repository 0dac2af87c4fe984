/** What clients notice of endpoints that refuse, hang and come and go: nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import {
  call,
  callMany,
  makeUserspaceWorld,
  percentile,
  serveName,
  VIP,
} from '../../support/userspaceWorld.js';

const [GOOD, REFUSING, SILENT, FLAPPING] = ['10.2.0.1', '10.2.0.2', '10.2.0.3', '10.2.0.4'] as const;

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([GOOD, REFUSING, SILENT, FLAPPING]);
  shell("nft 'add table ip hole; add chain ip hole in { type filter hook input priority 0; }'");
  shell(`nft 'add rule ip hole in ip daddr ${SILENT} tcp dport 8080 counter drop'`);
  shell("nft 'add set ip hole down { type ipv4_addr; }'");
  shell("nft 'add rule ip hole in ip daddr @down tcp flags syn / syn,ack reject with tcp reset'");
  const packetsToSilent = () => Number(/packets (\d+)/.exec(shell('nft list chain ip hole in'))?.[1]);
  const good = await serveName(GOOD);
  t.teardown(() => good.close());

  t.test('four endpoints: one refuses, one does not answer, one comes and goes', async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write(
      'web.json',
      shopObjects({ name: 'web', clusterIP: VIP, endpoints: [GOOD, REFUSING, SILENT, FLAPPING] }),
    );
    agent.start();
    t.ok(await agent.ready());

    // New connections are refused, those that wait to be accepted are not lost.
    const flapper = await serveName(FLAPPING);
    t.teardown(() => flapper.close());
    let flapping = true;
    const flaps = (async () => {
      while (flapping) {
        await sleep(150);
        shell(`nft add element ip hole down '{ ${FLAPPING} }'`);
        await sleep(150);
        shell(`nft delete element ip hole down '{ ${FLAPPING} }'`);
      }
    })();
    const learning = await callMany(2000, 32);
    const before = packetsToSilent();
    const learned = await callMany(4000, 32);
    const asked = packetsToSilent() - before;
    flapping = false;
    await flaps;

    const failed = [...learning, ...learned].filter(({ text }) => text !== GOOD && text !== FLAPPING);
    t.strictSame(failed, [], `0 of ${learning.length + learned.length} failed`);
    t.comment(
      `first answers p99 ${percentile(learning, 0.99).toFixed(0)} ms, later ${percentile(learned, 0.99).toFixed(0)} ms`,
    );
    t.ok(asked < 200, `once it is learned hardly anybody is sent to an endpoint that is silent: ${asked}`);
    t.ok(
      percentile([...learning, ...learned], 1) < 3000,
      'nobody waits for more than one endpoint that is silent',
    );
    const told = `shop/web:http/TCP: endpoint ${SILENT}:8080 does not answer`;
    t.ok(await eventually(async () => agent.output.includes(told)));
  });

  t.test('it comes back when it answers again', { timeout: 25_000 }, async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('web.json', shopObjects({ name: 'web', clusterIP: VIP, endpoints: [GOOD, REFUSING] }));
    agent.start();
    t.ok(await agent.ready());
    t.ok((await callMany(50, 4)).every(({ text }) => text === GOOD));
    t.ok(
      await eventually(async () => agent.output.includes(`endpoint ${REFUSING}:8080 refuses connections`)),
    );
    const returning = await serveName(REFUSING);
    t.teardown(() => returning.close());
    t.equal((await call()).text, GOOD, 'not yet');
    // Five seconds, a tenth more or less; the next connection then sends the probe.
    await sleep(5600);
    const both = async () => (await callMany(20, 2)).some(({ text }) => text === REFUSING);
    t.ok(await eventually(both));
    t.ok(await eventually(async () => agent.output.includes(`endpoint ${REFUSING}:8080 answers again`)));
  });

  t.test('nobody there: a reset at once, not a hang', async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write(
      'web.json',
      shopObjects({ name: 'web', clusterIP: VIP, endpoints: ['10.2.0.5', '10.2.0.6'] }),
    );
    shell('ip addr add 10.2.0.5/32 dev lo; ip addr add 10.2.0.6/32 dev lo');
    agent.start();
    t.ok(await agent.ready());
    const outcomes = await callMany(100, 8);
    t.ok(
      outcomes.every(({ text }) => text === 'ECONNRESET'),
      'all are reset',
    );
    t.ok(percentile(outcomes, 1) < 1000, `the slowest after ${percentile(outcomes, 1).toFixed(0)} ms`);
  });
}

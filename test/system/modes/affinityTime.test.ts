/**
 * How long session affinity lasts, in modes nftables, iptables and userspace: a client stays as long as its pauses are shorter than the
 * time, however long that goes on, and is free after a longer one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { call, makeUserspaceWorld, serveName, VIP } from '../../support/userspaceWorld.js';

const PODS = ['10.2.0.1', '10.2.0.2', '10.2.0.3', '10.2.0.4'] as const;
const CLIENTS = Array.from({ length: 12 }, (_, i) => `192.168.77.${10 + i}`);
const SECONDS = 8;

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld(PODS);
  shell(CLIENTS.map((client) => `ip addr add ${client}/24 dev out`).join(';'));
  const servers = await Promise.all(PODS.map(serveName));
  t.teardown(() => {
    for (const server of servers) server.close();
  });
  const places = async () => {
    const answers = await Promise.all(CLIENTS.map((client) => call(20_000, client)));
    return answers.map(({ text }) => text);
  };

  for (const mode of ['nftables', 'iptables', 'userspace']) {
    t.test(mode, { timeout: 300_000 }, async (t) => {
      await using agent = new AgentProcess(`mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n`);
      const affinity = { clientIP: { timeoutSeconds: SECONDS } };
      agent.write(
        'web.json',
        shopObjects({
          name: 'web',
          clusterIP: VIP,
          endpoints: PODS,
          spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: affinity },
        }),
      );
      agent.start();
      await agent.ready(60_000);
      const first = await places();
      t.ok(
        first.every((place) => (PODS as readonly string[]).includes(place)),
        first.join(' '),
      );
      // Longer than the time in sum, each pause shorter.
      for (let pause = 0; pause < 4; pause++) {
        const before = performance.now();
        await sleep(2500);
        const now = await places();
        if (performance.now() - before < SECONDS * 1000) t.strictSame(now, first, 'they stay');
        else t.comment('this machine was too slow to tell');
      }
      await sleep((SECONDS + 2) * 1000);
      // By chance all twelve are where they were once in 16 million runs.
      t.not((await places()).join(), first.join(), 'after a longer pause they are free');
      await agent.end('SIGTERM');
      shell(`${PENSTOCK} cleanup`);
    });
  }
}

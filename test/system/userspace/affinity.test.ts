/** Session affinity through the proxy: a client stays, also when the time for which it does is changed. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { call, makeUserspaceWorld, serveName, VIP } from '../../support/userspaceWorld.js';

const PODS = ['10.2.0.1', '10.2.0.2', '10.2.0.3', '10.2.0.4'] as const;
const CLIENTS = Array.from({ length: 12 }, (_, i) => `192.168.77.${10 + i}`);

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld(PODS);
  shell(CLIENTS.map((client) => `ip addr add ${client}/24 dev out`).join(';'));
  const servers = await Promise.all(PODS.map(serveName));
  t.teardown(() => {
    for (const server of servers) server.close();
  });
  const web = (timeoutSeconds: number) =>
    shopObjects({
      name: 'web',
      clusterIP: VIP,
      endpoints: PODS,
      spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds } } },
    });
  const places = async () => {
    const found: string[] = [];
    for (const client of CLIENTS) found.push((await call(10_000, client)).text);
    return found;
  };

  t.test(
    'a longer time holds for those who are there, a shorter one too',
    { timeout: 120_000 },
    async (t) => {
      await using agent = new AgentProcess('mode: userspace\n');
      agent.write('web.json', web(4));
      agent.start();
      await agent.ready(60_000);
      const first = await places();
      t.ok(first.every((place) => (PODS as readonly string[]).includes(place)));
      agent.write('web.json', web(10_800));
      await sleep(6000);
      t.strictSame(await places(), first, 'they stay');
      agent.write('web.json', web(1));
      await sleep(3000);
      const later = await places();
      t.not(later.join(), first.join(), 'over is over');
    },
  );
}

/** What commands say of queues of first packets: explain, status and diff, with the kernel as it is and as others left it. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { choiceObjects, metric, PODS, Program, prepareNode, VIP } from '../../support/choiceWorld.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, plain, shell } from '../../support/iptables.js';
import { VIP as SLEEPY, sleepyObjects } from '../../support/wakeWorld.js';

const ask = (...words: readonly string[]) => {
  const { stdout, stderr, status } = spawnSync(...plain(PENSTOCK, ...words), { encoding: 'utf8' });
  return { text: stdout + stderr, status };
};

if (await inNetns(import.meta.url)) {
  prepareNode();
  const server = await Program.serving(PODS.IPv4);
  t.teardown(() => server[Symbol.asyncDispose]());

  for (const mode of ['nftables', 'iptables'] as const) {
    t.test(`mode ${mode}`, async (t) => {
      // Others' changes are found by verify(): these must stay until they were seen.
      await using agent = new AgentProcess(
        `mode: ${mode}\nmetricsBindAddress: 127.0.0.1:10249\npenstock: {algorithm: least-connections, verifyPeriod: 2s}\n`,
      );
      await using client = await Program.holding();
      agent.write('services.json', [
        ...choiceObjects({ name: 'web', vips: [VIP.IPv4], annotations: {}, endpoints: PODS.IPv4 }),
        ...sleepyObjects({ 'penstock.io/wake': 'hold' }, false),
      ]);
      agent.start();
      await agent.ready();
      t.ok(await eventually(async () => (await metric('penstock_wake_asleep')) === 4));
      t.ok(await eventually(async () => (await metric('penstock_choice_connections_active')) === 0));
      await client.ask([8, VIP.IPv4, 'tcp']);
      t.ok(await eventually(async () => (await metric('penstock_choice_connections_active')) === 8));

      const { text, status } = ask('explain', 'node', `${VIP.IPv4}:80`);
      t.equal(status, 0, text);
      t.match(
        text,
        /balancing +least-connections: an agent chooses for each first packet,\s+queues?\s+287\d\d(\s+to\s+287\d\d)?/,
      );
      for (const pod of PODS.IPv4)
        t.match(text, new RegExp(`${pod}:8080 .* 2 +by count, chosen 2 times`), 'two connections each');
      const json = JSON.parse(ask('explain', 'node', `${VIP.IPv4}:80`, '-o', 'json').text);
      t.match(json, {
        algorithm: 'least-connections',
        choice: { endpoints: { [`${PODS.IPv4[0]}:8080`]: { connections: 2 } } },
      });

      const good = ask('status').text;
      t.match(good, /endpoints +are chosen for first packets: queues? 287\d\d(\s+to\s+287\d\d)?, 0 wait/);
      t.match(good, /wake +for first packets of Services that sleep: queue 288\d\d, 0 wait/);

      const equal = ask('diff');
      t.equal(equal.status, 0, equal.text);
      const element = `${VIP.IPv4} . tcp . 80`;
      shell(
        `nft delete element ip penstock-choice services '{ ${element} }'; nft flush chain ip penstock-wake hold`,
      );
      const { text: different } = ask('diff');
      t.match(different, `+ element of services in penstock-choice (IPv4) of shop/web:http: ${element}`);
      t.match(different, '~ chain hold of penstock-wake (IPv4): it has other rules than penstock writes');
      shell(`nft add element ip penstock-wake services '{ 10.96.0.99 . tcp . 80 }'`);
      t.match(ask('diff').text, '- element of services in penstock-wake (IPv4): 10.96.0.99 . tcp . 80');
      t.match(ask('explain', 'outside', `${SLEEPY.IPv4}:80`).text, /asleep/);
      await agent.end('SIGKILL');
      shell('nft delete table ip6 penstock-wake');
      const { text: gone } = ask('diff');
      t.match(
        gone,
        '+ table penstock-wake (IPv6): is not in the kernel: 2 service ports are not served by it',
      );
    });
  }
}

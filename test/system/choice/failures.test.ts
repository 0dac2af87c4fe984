/**
 * Whatever becomes of the program that chooses, connections go on: the same table of misfortunes on both families, TCP and UDP,
 * from this node and from beyond a link.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import {
  CONNECTING,
  choiceObjects,
  connectsUnder,
  metric,
  PODS,
  Program,
  prepareNode,
  VIP,
} from '../../support/choiceWorld.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';

const ALL = [...PODS.IPv4, ...PODS.IPv6];

const cart = (algorithm: string) =>
  choiceObjects({
    name: 'cart',
    vips: [VIP.IPv4, VIP.IPv6],
    annotations: { 'penstock.io/algorithm': algorithm },
    endpoints: ALL,
  });

async function under(t: Test, what: string, happens: () => Promise<void>): Promise<void> {
  t.ok((await connectsUnder(t, what, happens)) > 50, `${what}: there were connects`);
}

if (await inNetns(import.meta.url)) {
  prepareNode();
  const server = await Program.serving(ALL);
  t.teardown(() => server[Symbol.asyncDispose]());
  const agent = new AgentProcess('mode: nftables\nmetricsBindAddress: 127.0.0.1:10249\n');
  t.teardown(() => agent[Symbol.asyncDispose]());
  agent.write('cart.json', cart('least-connections'));
  const decided = async () => (await metric('penstock_choice_decided_total')) ?? 0;
  /** It decides again. */
  const goesOn = async (t: Test) => {
    await agent.ready();
    const before = await decided();
    await using clients = await Program.steady(CONNECTING);
    t.ok(await eventually(async () => (await decided()) > before), 'first packets are decided again');
    await clients.result();
  };
  agent.start();
  await agent.ready();

  t.test('nothing happens', async (t) => {
    await under(t, 'quiet', () => sleep(1000));
    t.ok((await decided()) > 50, 'first packets were decided');
  });

  t.test('the agent is killed in a loop', async (t) => {
    await under(t, 'kills', async () => {
      for (let i = 0; i < 3; i++) {
        await agent.end('SIGKILL');
        agent.start();
        await agent.ready();
        await sleep(200);
      }
    });
    await goesOn(t);
  });

  t.test('the agent is stopped', async (t) => {
    await under(t, 'SIGSTOP', async () => {
      process.kill(agent.pid as number, 'SIGSTOP');
      await sleep(2500);
      process.kill(agent.pid as number, 'SIGCONT');
    });
    t.ok(((await metric('penstock_choice_let_pass_total')) ?? 0) > 0, 'the watchdog let packets pass');
    await goesOn(t);
  });

  t.test('the agent is killed while it is stopped', async (t) => {
    await under(t, 'SIGSTOP and SIGKILL', async () => {
      process.kill(agent.pid as number, 'SIGSTOP');
      await sleep(100);
      await agent.end('SIGKILL');
      await sleep(500);
    });
    agent.start();
    await goesOn(t);
  });

  t.test('the watchdog is killed, then the agent stops', async (t) => {
    const { pid = 0 } = agent;
    shell(`kill -KILL $(cat /proc/${pid}/task/${pid}/children)`);
    t.ok(await eventually(async () => (await metric('penstock_choice_watchdog')) === 0), 'it is missed');
    await under(t, 'no watchdog', () => sleep(300));
    t.ok(
      await eventually(async () => (await metric('penstock_choice_watchdog')) === 1, 30_000),
      'and is started again',
    );
    await under(t, 'the next watchdog', async () => {
      process.kill(agent.pid as number, 'SIGSTOP');
      await sleep(1000);
      process.kill(agent.pid as number, 'SIGCONT');
    });
  });

  t.test('the agent is replaced by another', async (t) => {
    await under(t, 'upgrades', async () => {
      await agent.end('SIGTERM');
      agent.start();
      await agent.ready();
    });
    await goesOn(t);
  });

  t.test('tables of others come and go', async (t) => {
    await under(t, 'foreign tables', async () => {
      for (let i = 0; i < 15; i++) {
        shell(
          'nft add table ip other; nft add chain ip other c "{ type filter hook output priority 5; }"; nft delete table ip other',
        );
        await sleep(60);
      }
    });
  });

  t.test('our own table is removed', async (t) => {
    await under(t, 'no table', async () => {
      shell('nft delete table ip penstock-choice; nft delete table ip6 penstock-choice');
      const isBack = () => /ip6 penstock-choice/.test(shell('nft list tables 2>/dev/null'));
      t.ok(await eventually(isBack), 'it is written again');
    });
    await goesOn(t);
  });

  t.test('the Service asks, and asks no more', async (t) => {
    await under(t, 'annotations', async () => {
      for (const algorithm of [
        'random',
        'least-connections',
        'power-of-two',
        'random',
        'least-connections',
      ]) {
        agent.write('cart.json', cart(algorithm));
        await sleep(400);
      }
    });
    await goesOn(t);
  });
}

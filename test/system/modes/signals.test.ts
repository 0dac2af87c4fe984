/** Signals, and what is said of a configuration that was refused. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up');

  t.test('HUP, USR1, USR2 are heard and harmless; ps shows its name', async (t) => {
    await using agent = new AgentProcess('mode: nftables\n');
    agent.start();
    const pid = agent.pid ?? 0;
    t.ok(await agent.ready());
    t.equal(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'penstock\n');
    const said = (words: string) => eventually(() => agent.output.includes(words));
    process.kill(pid, 'SIGUSR1');
    t.ok(await said('SIGUSR1 received: '));
    process.kill(pid, 'SIGUSR2');
    t.ok(await said('SIGUSR2 received: '));
    process.kill(pid, 'SIGHUP');
    t.ok(await said('config.yaml has not changed'));
    agent.configure('mode: nftables\nclusterCIDR: 10.0.0.0/9\n');
    process.kill(pid, 'SIGHUP');
    t.ok(await said('changed: clusterCIDR; starting anew'));
    await sleep(300);
    t.notOk(await listens(9229), 'no debugger');
    t.notMatch(agent.output, 'Debugger listening');
    t.match(
      spawnSync('ps', ['-o', 'comm=,args=', '-p', String(pid)], { encoding: 'utf8' }).stdout,
      /^penstock +penstock run /,
    );
    t.ok(await agent.ready());
    t.equal(await agent.end('SIGTERM'), 0);
    shell(`${PENSTOCK} cleanup`);
  });

  t.test('a refused configuration: solved when mended, taken back, or gone', async (t) => {
    await using agent = new AgentProcess('mode: nftables\n');
    agent.start();
    t.ok(await agent.ready());
    const heard = async (words: string | RegExp) => {
      t.ok(await eventually(() => agent.output.search(words) >= 0), String(words));
      agent.output = '';
    };
    agent.configure('mode: fast\n');
    await heard(/is not taken/);
    agent.configure('mode: nftables\n');
    await heard(/solved: .*config\.yaml can be taken again/);
    agent.configure('mode: nftables\nlogging: {format: json}\n');
    await heard(/logging\.format will be in force after a restart/);
    agent.configure('mode: nftables\n');
    await heard(/logging\.format as in force again; no restart is needed/);
    agent.configure('mode: fast\n');
    await heard(/is not taken/);
    agent.remove('.config.yaml');
    await heard(/solved: .*config\.yaml, which was not taken, is gone/);
    agent.configure('mode: nftables\n');
    await heard(/solved: .*config\.yaml is there again/);
    t.equal(await agent.end('SIGTERM'), 0);
    shell(`${PENSTOCK} cleanup`);
  });
}

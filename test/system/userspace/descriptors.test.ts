/** A proxy whose file descriptors are used up: nobody can have all, who has too many waits, it says so once, and leaks nothing. */
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { call, makeUserspaceWorld, serve, VIP } from '../../support/userspaceWorld.js';

const POD = '10.2.0.1';
/** Of the process; 256 are kept for what is no connection. */
const LIMIT = 656;

function descriptorsOf(pid: number | undefined): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD]);
  shell('ip addr add 192.168.77.2/24 dev out; ip addr add 192.168.77.3/24 dev out');
  const server = await serve(POD, (socket) => {
    socket.on('data', (data) => {
      if (String(data) === 'hello') socket.end('ok');
    });
    socket.on('end', () => socket.end());
  });
  t.teardown(() => server.close());

  t.test('more clients than descriptors', async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('web.json', shopObjects({ name: 'web', clusterIP: VIP, endpoints: [POD] }));
    agent.start(['prlimit', `--nofile=${LIMIT}:${LIMIT}`]);
    t.ok(await agent.ready());
    t.equal((await call()).text, 'ok');
    const before = descriptorsOf(agent.pid);

    const silent = Array.from({ length: 600 }, (_, i) => {
      const socket = connect({ host: VIP, port: 80, localAddress: `192.168.77.${1 + (i % 2)}` });
      socket.on('error', () => {});
      return socket;
    });
    await sleep(1000);
    t.ok(descriptorsOf(agent.pid) <= LIMIT);
    t.equal((await call(5000, '192.168.77.3')).text, 'ok', 'another client is served meanwhile');
    // Of two clients that have as many as they may, a few more wait; all others are refused.
    t.ok(await eventually(async () => silent.filter(({ destroyed }) => destroyed).length > 300));
    const waiting = silent.filter(({ destroyed }) => !destroyed);
    for (const socket of waiting.slice(0, -20)) socket.destroy();
    const served = async () => (await call(15_000, '192.168.77.1')).text === 'ok';
    t.ok(await eventually(served), 'and those again as soon as they hold less');
    for (const socket of silent) socket.destroy();
    t.ok(await eventually(async () => descriptorsOf(agent.pid) <= before + 4), 'nothing is left of them');
    t.equal((await call()).text, 'ok');
    const told =
      agent.output.match(/shop\/web:http\/TCP: .* as many file descriptors as one alone may/g) ?? [];
    t.equal(told.length, 1, 'said once');
  });

  t.test('resets at every moment leave nothing behind', async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('web.json', shopObjects({ name: 'web', clusterIP: VIP, endpoints: [POD] }));
    agent.start();
    t.ok(await agent.ready());
    t.equal((await call()).text, 'ok');
    const before = descriptorsOf(agent.pid);
    for (let round = 0; round < 20; round++) {
      const sockets = Array.from({ length: 50 }, (_, i) => {
        const socket = connect({ host: VIP, port: 80 });
        socket.on('error', () => {});
        if (i % 3 === 0) socket.once('connect', () => socket.resetAndDestroy());
        else if (i % 3 === 1)
          socket.once('connect', () => socket.write('hel', () => socket.resetAndDestroy()));
        else socket.once('connect', () => socket.write('hello'));
        return socket;
      });
      await sleep(round * 2);
      for (const socket of sockets) socket.resetAndDestroy();
    }
    t.ok(await eventually(async () => descriptorsOf(agent.pid) <= before + 4), 'nothing is left of them');
    t.equal((await call()).text, 'ok');
  });
}

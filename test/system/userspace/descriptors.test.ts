/** A proxy whose file descriptors are used up: it waits, says so once, serves on, and leaks nothing. */
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';
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

    const silent: Socket[] = [];
    for (let i = 0; i < 600; i++) {
      const socket = connect({ host: VIP, port: 80 });
      socket.on('error', () => {});
      silent.push(socket);
    }
    await sleep(1000);
    t.ok(descriptorsOf(agent.pid) <= LIMIT);
    const waiting = Array.from({ length: 20 }, () => call(15_000));
    await sleep(1000);
    for (const socket of silent.slice(0, 500)) socket.destroy();
    const outcomes = await Promise.all(waiting);
    t.strictSame(
      outcomes.map(({ text }) => text),
      outcomes.map(() => 'ok'),
      'who waited is served as soon as others go',
    );
    for (const socket of silent) socket.destroy();
    t.ok(await eventually(async () => descriptorsOf(agent.pid) <= before + 4), 'nothing is left of them');
    t.equal((await call()).text, 'ok');
    const told = agent.output.match(/all file descriptors are in use/g) ?? [];
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

/** One tenant that takes all it can get: others are served, and what is gone holds nothing. */
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { call, makeUserspaceWorld, serveName, VIP } from '../../support/userspaceWorld.js';

const [POD, HOG] = ['10.2.0.1', '10.2.0.2'] as const;
const HOG_VIP = '172.30.6.6';
/** 256 are kept for what is no connection. */
const LIMIT = 656;
const DATAGRAMS = 4000;

/** A datagram from each of so many ports, which stay open as little as can be. */
async function flood(address: string, port: number, from: string): Promise<void> {
  for (let i = 0; i < DATAGRAMS; i++) {
    const socket = createSocket('udp4');
    socket.on('error', () => {});
    await new Promise<void>((resolve) => socket.bind(0, from, resolve));
    await new Promise<void>((resolve) => socket.send('x', port, address, () => resolve()));
    socket.close();
  }
}

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD, HOG]);
  shell('ip addr add 192.168.77.2/24 dev out');
  const server = await serveName(POD);
  const silent = createSocket('udp4');
  await new Promise<void>((resolve) => silent.bind(8080, HOG, resolve));
  t.teardown(() => {
    server.close();
    silent.close();
  });

  t.test('thousands of flows that are to stay for an hour', { timeout: 180_000 }, async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('good.json', shopObjects({ name: 'good', clusterIP: VIP, endpoints: [POD] }));
    const annotations = { 'penstock.io/udp-idle-timeout': '1h' };
    agent.write(
      'hog.json',
      shopObjects({ name: 'hog', clusterIP: HOG_VIP, endpoints: [HOG], protocol: 'UDP', annotations }),
    );
    agent.start(['prlimit', `--nofile=${LIMIT}:${LIMIT}`]);
    await agent.ready(60_000);
    const held = () => readdirSync(`/proc/${agent.pid}/fd`).length;
    const before = held();
    await flood(HOG_VIP, 80, '192.168.77.1');
    const one = held() - before;
    t.ok(one > 100 && one <= (LIMIT - 256) / 2 + 20, `one client holds ${one}`);
    await flood(HOG_VIP, 80, '192.168.77.2');
    const two = held() - before;
    t.ok(two > one && two < (LIMIT - 256) * 0.85, `two hold ${two}`);
    for (let i = 0; i < 10; i++) t.equal((await call()).text, POD, 'others are served');
    t.ok(await eventually(() => /shop\/hog:http\/UDP: .* as many file descriptors/.test(agent.output)));
    agent.remove('hog.json');
    t.ok(await eventually(() => held() <= before + 4), 'with the Service go its flows');
  });
}

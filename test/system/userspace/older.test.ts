/** Clients that are older than the Service, or than the proxy: they are served as soon as it can be. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { shell } from '../../support/iptables.js';
import { shopObjects } from '../../support/shopObjects.js';
import { echoDatagrams, UdpAsker } from '../../support/UdpAsker.js';
import { makeUserspaceWorld, serveName, VIP } from '../../support/userspaceWorld.js';

const POD = '10.2.0.1';
const NODE_PORT = 30_053;
/** Who goes on with the socket that he has. */
const PLACES = [
  ['the VIP', VIP, 80],
  ['a node port', '192.168.77.1', NODE_PORT],
  ['a node port on localhost', '127.0.0.1', NODE_PORT],
] as const;

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD]);
  // What nobody redirects goes out, to a neighbour that never answers.
  shell('ip neigh add 172.30.0.1 lladdr 02:00:00:00:00:01 dev out nud permanent');
  const echo = await echoDatagrams(POD, 8080);
  const server = await serveName(POD);
  t.teardown(() => {
    echo.close();
    server.close();
  });
  const objects = (protocol: 'UDP' | 'TCP') => {
    const [service, ...rest] = shopObjects({
      name: protocol.toLowerCase(),
      clusterIP: VIP,
      endpoints: [POD],
      protocol,
    }) as { spec?: { ports?: object[] } }[];
    const ports = service?.spec?.ports?.map((port) => ({ ...port, nodePort: NODE_PORT }));
    return [{ ...service, spec: { ...service?.spec, type: 'NodePort', ports } }, ...rest] as object[];
  };

  t.test('an agent that was killed, and one that was stopped', { timeout: 240_000 }, async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('dns.json', objects('UDP'));
    agent.start();
    await agent.ready(60_000);
    const askers = PLACES.map(([name, address, port]) => ({ name, asker: new UdpAsker(address, port) }));
    t.teardown(() => {
      for (const { asker } of askers) asker[Symbol.dispose]();
    });
    for (const { name, asker } of askers) t.ok(await asker.isServed(), name);
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await agent.end(signal);
      await sleep(1000);
      agent.start();
      await agent.ready(60_000);
      for (const { name, asker } of askers) t.ok(await asker.isServed(), `${name}, after ${signal}`);
    }
  });

  t.test('a Service that comes later', { timeout: 180_000 }, async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('other.json', shopObjects({ name: 'other', clusterIP: '172.30.9.9', endpoints: [POD] }));
    using asker = new UdpAsker(VIP, 80);
    using nodePort = new UdpAsker('192.168.77.1', NODE_PORT);
    await sleep(1000);
    agent.start();
    await agent.ready(60_000);
    await sleep(1500);
    t.equal(asker.answers, 0);
    const started = performance.now();
    const connected = new Promise<number>((resolve) => {
      const socket = connect(80, VIP);
      socket.on('error', () => resolve(Number.POSITIVE_INFINITY));
      socket.on('connect', () => {
        resolve(performance.now() - started);
        socket.destroy();
      });
    });
    await sleep(300);
    agent.write('tcp.json', objects('TCP'));
    agent.write('dns.json', objects('UDP'));
    t.ok(await asker.isServed(), 'datagrams');
    t.ok(await nodePort.isServed(), 'datagrams to the node port');
    const ms = await connected;
    t.ok(ms < 8000, `a connection that was begun before: after ${ms.toFixed(0)} ms`);
  });
}

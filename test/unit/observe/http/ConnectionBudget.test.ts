/** Silent, slow and many connections on the servers of the agent. */
import type { Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ConnectionBudget, mostConnections } from '../../../../src/observe/http/ConnectionBudget.js';
import { openHttpServer } from '../../../../src/observe/http/openHttpServer.js';
import { ip } from '../../../support/builders.js';
import { eventually } from '../../../support/iptables.js';
import { ask } from '../../../support/recordedAnswer.js';

async function serverWith(t: Test, budget: ConnectionBudget): Promise<{ port: number; url: string }> {
  const server: Server = await openHttpServer(
    { host: ip('127.0.0.1'), port: 0, unspecified: 'family' },
    budget,
    (_request, response) => void response.end('ok'),
  );
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { port, url: `http://127.0.0.1:${port}/` };
}

function silent(t: Test, port: number): Socket {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {}).resume();
  t.teardown(() => socket.destroy());
  return socket;
}

t.test('whoever opens many connections and says nothing keeps nobody else out', async (t) => {
  const budget = new ConnectionBudget(8);
  const { port, url } = await serverWith(t, budget);
  const sockets: Socket[] = [];
  for (let i = 0; i < 50; i++) {
    sockets.push(silent(t, port));
    if (i % 10 === 0) t.equal((await ask(url)).status, 200);
  }
  t.ok(await eventually(() => sockets.filter(({ closed }) => closed).length >= 42));
  t.ok(budget.open <= 9, `${budget.open} are open`);
  t.equal((await ask(url)).status, 200);
});

t.test('two servers share one budget', async (t) => {
  const budget = new ConnectionBudget(4);
  const [first, second] = [await serverWith(t, budget), await serverWith(t, budget)];
  for (let i = 0; i < 8; i++) silent(t, i % 2 === 0 ? first.port : second.port);
  await sleep(200);
  t.ok(budget.open <= 4);
});

t.test('silence, and a request that never ends, end by themselves', async (t) => {
  const budget = new ConnectionBudget(100);
  const { port } = await serverWith(t, budget);
  const quiet = silent(t, port);
  const slow = silent(t, port);
  slow.write('GET / HTTP/1.1\r\n');
  const drip = setInterval(() => slow.write('X-A: b\r\n'), 200);
  t.teardown(() => clearInterval(drip));
  t.ok(await eventually(() => quiet.closed && slow.closed, 10_000));
  t.equal(budget.open, 0);
});

t.test('the budget is a small share of the descriptors there are', async (t) => {
  const limits = (text: string) => mostConnections(`Max open files            ${text}   ${text}   files\n`);
  t.equal(limits('1048576'), 256);
  t.equal(limits('1024'), 64);
  t.equal(limits('32'), 4);
  t.equal(limits('unlimited'), 256);
  t.equal(mostConnections(''), 256);
});

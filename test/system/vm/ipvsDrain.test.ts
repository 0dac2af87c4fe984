/** Mode ipvs: real servers go when their connections have ended. */
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inVm } from '../../support/inVm.js';
import { eventually, shell } from '../../support/iptables.js';
import { CART, LIMIT_MS, READY_MS, servers, settings } from '../../support/ipvsAgent.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PATIENCE } from '../../support/patience.js';
import { shopObjects } from '../../support/shopObjects.js';

/** On port 9090, where connections last until the client ends them. */
const LASTING = '10.1.0.3';

function objects(endpoints: readonly string[]): object[] {
  return JSON.parse(JSON.stringify(shopObjects({ ...CART, endpoints })).replaceAll('8080', '9090'));
}

/** The same with LASTING shutting down, but still answering. */
function terminating(list: object[]): object[] {
  const conditions = { ready: false, serving: true, terminating: true };
  return JSON.parse(JSON.stringify(list), (key, value) =>
    key === 'endpoints'
      ? value.map((each: { addresses: string[] }) =>
          each.addresses[0] === LASTING ? { ...each, conditions } : each,
        )
      : value,
  );
}

function open(host: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: 80 }, () => resolve(socket));
    socket.on('error', reject);
  });
}

function echo(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve) => {
    socket.once('data', (data) => resolve(String(data)));
    socket.write(text);
  });
}

if (await inVm(import.meta.url)) {
  t.setTimeout(LIMIT_MS);
  const server = await serveOnLoopback([LASTING, ...CART.endpoints]);
  const lasting = createServer((socket) => socket.on('data', (data) => socket.write(data)));
  lasting.on('connection', (socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => lasting.listen(9090, LASTING, resolve));
  t.teardown(() => [server, lasting].map((each) => each.close()));

  t.test('what is under way goes on, new connections do not', async (t) => {
    t.setTimeout(LIMIT_MS);
    await using agent = new AgentProcess(settings('ipvs'));
    agent.write('cart.json', objects([LASTING]));
    agent.start();
    await agent.ready(READY_MS);
    const socket = await open('172.30.0.1');
    t.equal(await echo(socket, 'one'), 'one');

    agent.write('cart.json', objects([]));
    t.ok(await eventually(() => /10\.1\.0\.3:9090 -m -w 0/.test(servers())), 'it has weight 0');
    t.equal(await ask('172.30.0.1'), 'ECONNREFUSED', 'nobody else is there');
    await delay(3000);
    t.equal(await echo(socket, 'two'), 'two', 'the connection goes on');
    agent.write('cart.json', objects([LASTING]));
    t.ok(await eventually(() => /10\.1\.0\.3:9090 -m -w 1/.test(servers())), 'it comes back');
    agent.write('cart.json', objects([]));
    t.ok(await eventually(() => /10\.1\.0\.3:9090 -m -w 0/.test(servers())), 'and goes again');

    // After a reset the kernel waits for late packets 10 s only (IP_VS_TCP_S_CLOSE).
    socket.resetAndDestroy();
    const known = () => shell('ipvsadm -Lnc').includes(LASTING);
    t.ok(await eventually(() => !known(), 60_000), 'the kernel has forgotten the connection');
    const forgotten = performance.now();
    t.ok(await eventually(() => !servers().includes(LASTING), 10_000), 'the real server is gone');
    const gone = performance.now() - forgotten;
    // The drain looks each second; a machine that is emulated, on one that is busy, is late.
    t.ok(gone < 5000 * PATIENCE, `${Math.round(gone)} ms after its last connection`);
    await agent.end('SIGTERM');
  });

  t.test('a terminating endpoint keeps its transfer, new connections go to the other at once', async (t) => {
    t.setTimeout(LIMIT_MS);
    const [other = ''] = CART.endpoints;
    const naming = createServer((socket) => socket.on('error', () => {}).end(other));
    await new Promise<void>((resolve) => naming.listen(9090, other, resolve));
    t.teardown(() => naming.close());
    await using agent = new AgentProcess(settings('ipvs'));
    agent.write('cart.json', objects([LASTING]));
    agent.start();
    await agent.ready(READY_MS);
    const transfer = await open('172.30.0.1');
    agent.write('cart.json', terminating(objects([LASTING, other])));
    t.ok(await eventually(() => /10\.1\.0\.3:9090 -m -w 0/.test(servers())));
    const answers = new Set<string>();
    for (let i = 0; i < 10; i++) answers.add(await ask('172.30.0.1'));
    t.strictSame([...answers], [other]);
    for (let i = 0; i < 20; i++) {
      t.equal(await echo(transfer, `part ${i}`), `part ${i}`);
      await delay(100);
    }
    transfer.destroy();
    await agent.end('SIGTERM');
  });
}

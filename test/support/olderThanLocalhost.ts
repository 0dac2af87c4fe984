/** Node ports on 127.0.0.1, the same in all modes: clients older than the Service or the agent, Services without endpoints. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from './AgentProcess.js';
import { eventually } from './iptables.js';
import { ask } from './loopbackEndpoints.js';
import { shopObjects } from './shopObjects.js';
import { echoDatagrams, UdpAsker } from './UdpAsker.js';

const POD = '10.1.0.1';
const NODE_PORT = 30_080;
const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: [POD] };
const WITH_NODE_PORT = { ...CART, spec: { type: 'NodePort', port: { nodePort: NODE_PORT } } };
const DNS = { ...WITH_NODE_PORT, name: 'dns', protocol: 'UDP' } as const;

/** `serveOnLoopback` must have been called with 10.1.0.1. Milliseconds. */
export function testLocalhost(mode: string, readyMs: number, limitMs: number): void {
  const settings = `mode: ${mode}\nclusterCIDR: 10.0.0.0/8\n`;

  t.test(`${mode}: UDP clients that keep their socket`, { timeout: limitMs }, async (t) => {
    const echo = await echoDatagrams(POD, 8080);
    t.teardown(() => echo.close());
    await using agent = new AgentProcess(settings);
    agent.write('cart.json', shopObjects(CART));
    agent.start();
    t.ok(await agent.ready(readyMs), 'ready');
    using asker = new UdpAsker('127.0.0.1', NODE_PORT);
    await sleep(1000);
    t.equal(asker.answers, 0, 'nobody serves the node port');
    agent.write('dns.json', shopObjects(DNS));
    t.ok(await asker.isServed(), 'a Service that comes later');

    await agent.end('SIGKILL');
    await sleep(500);
    agent.start();
    t.ok(await agent.ready(readyMs), 'ready again');
    t.ok(await asker.isServed(), 'an agent that comes later');

    agent.write('dns.json', shopObjects({ ...DNS, endpoints: [] }));
    t.ok(await eventually(async () => isSilent(asker)), 'its endpoints go');
    agent.write('dns.json', shopObjects(DNS));
    t.ok(await asker.isServed(), 'and come back');
    await agent.end('SIGTERM');
  });

  t.test(`${mode}: no endpoints`, { timeout: limitMs }, async (t) => {
    await using agent = new AgentProcess(settings);
    agent.write('cart.json', shopObjects({ ...WITH_NODE_PORT, endpoints: [] }));
    agent.start();
    t.ok(await agent.ready(readyMs), 'ready');
    const answers = async (wanted: string) =>
      eventually(async () => (await ask('127.0.0.1', NODE_PORT)) === wanted);
    t.ok(await answers('ECONNREFUSED'), 'refused at once, not accepted and reset');
    t.equal(await ask('127.9.8.7', NODE_PORT), 'ECONNREFUSED', 'on all of loopback');
    agent.write('cart.json', shopObjects(WITH_NODE_PORT));
    t.ok(await answers(POD), 'served as soon as there is one');
    agent.write('cart.json', shopObjects({ ...WITH_NODE_PORT, endpoints: [] }));
    t.ok(await answers('ECONNREFUSED'), 'and refused again');
    await agent.end('SIGTERM');
  });
}

async function isSilent(asker: UdpAsker): Promise<boolean> {
  const before = asker.answers;
  await sleep(700);
  return asker.answers === before;
}

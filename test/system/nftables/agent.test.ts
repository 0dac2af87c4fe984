/** `penstock run` in mode nftables on a real kernel: connections, edits, damage by others, kills, cleanup. */
import { createSocket, type Socket } from 'node:dgram';
import { createServer } from 'node:net';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, listedRuleset, shell } from '../../support/iptables.js';
import { ask, serveOnLoopback } from '../../support/loopbackEndpoints.js';
import { PacedClient } from '../../support/pacedClient.js';
import { RESTARTS } from '../../support/patience.js';
import { shopObjects } from '../../support/shopObjects.js';

const CART = { name: 'cart', clusterIP: '172.30.0.1', endpoints: ['10.1.0.1', '10.1.0.2'] };
const STICKY = {
  name: 'sticky',
  clusterIP: '172.30.0.2',
  endpoints: ['10.1.0.1', '10.1.0.2', '10.1.0.3'],
  spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } },
};
const NODE_PORT = 30_080;
const WITH_NODE_PORT = { ...CART, spec: { type: 'NodePort', port: { nodePort: NODE_PORT } } };
const SETTINGS = 'mode: nftables\nclusterCIDR: 10.0.0.0/8\n';

/** What others have in nftables, which must survive everything. */
const FOREIGN = `
  nft add table ip admin
  nft 'add chain ip admin input { type filter hook input priority 5; }'
  nft add rule ip admin input tcp dport 22 accept`;

const table = () => listedRuleset('table ip penstock');

async function reached(address: string, tries = 40): Promise<string[]> {
  const answers = new Set<string>();
  for (let i = 0; i < tries; i++) answers.add(await ask(address));
  return [...answers].sort();
}

if (await inNetns(import.meta.url)) {
  const server = await serveOnLoopback(['10.1.0.1', '10.1.0.2', '10.1.0.3']);
  t.teardown(() => server.close());

  t.test('pings to addresses that other hosts may have go there', async (t) => {
    const [own, other] = ['203.0.113.1', '203.0.113.7'];
    shell(`ip link add ping0 type veth peer name ping1; ip link set ping0 up; ip link set ping1 up
      ip addr add ${own}/24 dev ping0`);
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', shopObjects({ ...CART, spec: { externalIPs: [other] } }));
    agent.start();
    t.ok(await agent.ready(), 'ready');
    t.ok(CART.endpoints.includes(await ask(other)), 'the external IP is served');
    t.match(shell(`ping -c 1 -W 1 ${other} || true`), / 0 received/, 'nobody is there, so nobody answers');
    t.match(shell('ping -c 1 -W 1 172.30.0.1'), /1 received/, 'a cluster IP answers');
  });

  t.test('a UDP client of a node port on localhost goes on after a restart', async (t) => {
    const echo = createSocket('udp4');
    echo.on('message', (data, { address, port }) => echo.send(data, port, address));
    await new Promise<void>((resolve) => echo.bind(8080, '10.1.0.1', resolve));
    const client = createSocket('udp4');
    let answers = 0;
    client.on('message', () => answers++);
    client.on('error', () => {});
    await new Promise<void>((resolve) => client.connect(NODE_PORT, '127.0.0.1', resolve));
    const asking = setInterval(() => client.send('x', () => {}), 100);
    t.teardown(() => {
      clearInterval(asking);
      client.close();
      echo.close();
    });
    const answered = async () => {
      const before = answers;
      return eventually(() => answers > before + 2);
    };
    await using agent = new AgentProcess(SETTINGS);
    agent.write('dns.json', shopObjects({ ...WITH_NODE_PORT, endpoints: ['10.1.0.1'], protocol: 'UDP' }));
    for (const start of ['at first', 'restarted']) {
      agent.start();
      t.ok(await agent.ready(), start);
      t.ok(await answered(), `${start}: answered, from the same socket`);
      await agent.end('SIGKILL');
    }
  });

  t.test('serves, follows edits, refuses without endpoints', async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', shopObjects(WITH_NODE_PORT));
    agent.start();
    t.ok(await agent.ready(), 'ready');
    t.same(await reached('172.30.0.1'), ['10.1.0.1', '10.1.0.2'], 'both endpoints answer');
    t.ok(CART.endpoints.includes(await ask('192.168.77.1', NODE_PORT)), 'the node port answers');
    t.ok(CART.endpoints.includes(await ask('127.0.0.1', NODE_PORT)), 'also on localhost');
    t.equal(shell('cat /proc/sys/net/ipv4/conf/all/route_localnet').trim(), '0', 'without route_localnet');
    t.equal(await ask('172.30.0.1', 81), 'ECONNREFUSED', 'a port that the Service does not have');
    t.match(shell('ping -c 1 -W 1 172.30.0.1'), /1 received/, 'a ping is answered');

    agent.write('cart.json', shopObjects({ ...CART, endpoints: ['10.1.0.3'] }));
    t.ok(await eventually(async () => (await ask('172.30.0.1')) === '10.1.0.3'), 'the new endpoint answers');
    t.same(await reached('172.30.0.1', 10), ['10.1.0.3'], 'and only that one');
    t.equal(await ask('127.0.0.1', NODE_PORT), 'ECONNREFUSED', 'the node port is gone');

    agent.write('cart.json', shopObjects({ ...WITH_NODE_PORT, endpoints: [] }));
    t.ok(await eventually(async () => (await ask('172.30.0.1')) === 'ECONNREFUSED'), 'refused at once');
    // Whoever listens there is not who was asked for.
    const other = createServer((socket) => socket.end('other')).listen(NODE_PORT, '127.0.0.1');
    t.teardown(() => other.close());
    for (const address of ['127.0.0.1', '192.168.77.1']) {
      t.equal(
        await ask(address, NODE_PORT),
        'ECONNREFUSED',
        `refused at once, not after it was accepted: ${address}`,
      );
    }

    agent.remove('cart.json');
    t.ok(await eventually(() => !table().includes('172.30.0.1')), 'nothing is left of a removed Service');
    t.equal(await agent.end('SIGTERM'), 0, 'ends with status 0');
    shell(`${PENSTOCK} cleanup`);
  });

  t.test('a UDP client that goes on sending is led to the endpoint that is there', async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    const dns = (endpoints: readonly string[]) =>
      shopObjects({ ...CART, endpoints }).map((object) =>
        JSON.parse(JSON.stringify(object).replaceAll('"TCP"', '"UDP"')),
      );
    const servers = await Promise.all(['10.1.0.1', '10.1.0.2'].map(answerOverUdp));
    const client = createSocket('udp4');
    const answers: string[] = [];
    client.on('message', (text) => answers.push(String(text)));
    client.on('error', () => {});
    await new Promise<void>((resolve) => client.connect(80, CART.clusterIP, resolve));
    const sending = setInterval(() => client.send('x', () => {}), 20);
    t.teardown(() => {
      clearInterval(sending);
      client.close();
      for (const server of servers) server.close();
    });
    const last = () => answers.at(-1);

    agent.write('dns.json', dns(['10.1.0.1']));
    agent.start();
    t.ok(await agent.ready());
    t.ok(await eventually(() => last() === '10.1.0.1'), 'the flow that began without rules is led in');
    agent.write('dns.json', dns(['10.1.0.2']));
    t.ok(
      await eventually(() => last() === '10.1.0.2', 3000),
      'its endpoint went: the next datagrams reach the other',
    );
    t.match(agent.output, /deleted \d+ connections to endpoints that are no longer there/);
    agent.write('dns.json', dns([]));
    t.ok(await eventually(() => silent(answers)), 'nobody is reached when there is nobody');
    agent.write('dns.json', dns(['10.1.0.1']));
    t.ok(await eventually(() => last() === '10.1.0.1', 3000), 'and it goes on when somebody is back');
    agent.remove('dns.json');
    t.ok(await eventually(() => silent(answers)), 'a removed Service is not reached any more');
    await agent.end('SIGTERM');
    shell(`${PENSTOCK} cleanup`);
  });

  t.test('what others change is put back within 200 ms, and named', async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', [...shopObjects(WITH_NODE_PORT), ...shopObjects(STICKY)]);
    agent.start();
    t.ok(await agent.ready());
    const whole = table();
    const damages = [
      ['flush chain ip penstock services', /nft \(pid \d+\): IPv4 chain services lost a rule/],
      ['add rule ip penstock services accept', /IPv4 chain services got a rule/],
      [
        "delete element ip penstock service-ips '{ 172.30.0.1 . tcp . 80 }'",
        /IPv4 set service-ips lost elements/,
      ],
      ["add element ip penstock cluster-ips '{ 1.2.3.4 }'", /IPv4 set cluster-ips got elements/],
      ['flush map ip penstock endpoints', /IPv4 set endpoints lost elements/],
      ['add chain ip penstock other', /IPv4 chain other was added/],
      ["add set ip penstock other '{ type ipv4_addr; }'", /IPv4 set other was added/],
      ['delete table ip penstock', /IPv4 table penstock was deleted/],
      ['flush ruleset', /table penstock was deleted/],
    ] as const;
    const delays: number[] = [];
    for (const [damage, words] of damages) {
      const said = agent.output.length;
      shell(`nft ${damage}`);
      const start = performance.now();
      t.ok(await eventually(() => same(table(), whole), 2000), `${damage}: repaired`);
      delays.push(performance.now() - start);
      t.ok(await eventually(() => words.test(agent.output.slice(said)), 2000), `${damage}: named`);
      t.ok(CART.endpoints.includes(await ask('172.30.0.1')), `${damage}: traffic flows`);
    }
    // The look itself costs some 20 ms, and takes place every 50.
    t.ok(Math.max(...delays) < 1500, `seen within ${delays.map((ms) => ms.toFixed(0)).join(', ')} ms`);

    const said = agent.output.length;
    shell("nft 'add rule ip penstock admin-pre ip daddr 192.0.2.1 drop; add chain ip penstock admin-mine'");
    await new Promise((resolve) => setTimeout(resolve, 300));
    t.match(table(), /ip daddr 192.0.2.1 drop/, "the administrator's own chains are left alone");
    t.match(table(), /chain admin-mine/);
    t.notMatch(agent.output.slice(said), /repairing/);
    t.equal(await agent.end('SIGTERM'), 0);
    shell(`${PENSTOCK} cleanup`);
  });

  t.test(`SIGKILL and restart, ${RESTARTS} times: no connect fails, nothing is written`, async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', [...shopObjects(CART), ...shopObjects(STICKY)]);
    agent.start();
    t.ok(await agent.ready());
    const sticky = await ask('172.30.0.2');
    const whole = table();
    const client = new PacedClient('172.30.0.1', CART.endpoints);
    for (let i = 0; i < RESTARTS; i++) {
      t.equal(await agent.end('SIGKILL'), 'SIGKILL');
      agent.output = '';
      agent.start();
      t.ok(await agent.ready(), `restart ${i + 1}`);
      // Only the rules that redirect to the agent's own ports on loopback are new.
      t.match(agent.output, /synced: IPv4 full 0\/2 /, 'what is right is left alone');
    }
    await client.stop();
    t.ok(client.connects > 100, `${client.connects} connects were made`);
    t.same(client.failures, [], 'none failed');
    t.equal(withoutRedirects(table()), withoutRedirects(whole));
    t.same(await reached('172.30.0.2', 20), [sticky], 'session affinity outlives the agent');
    await agent.end('SIGTERM');
    shell(`${PENSTOCK} cleanup`);
  });

  t.test('a change while no agent ran is found at the start', async (t) => {
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', [...shopObjects(CART), ...shopObjects(STICKY)]);
    agent.start();
    t.ok(await agent.ready());
    const sticky = await ask('172.30.0.2');
    await agent.end('SIGKILL');
    const others = STICKY.endpoints.filter((address) => address !== sticky);
    agent.write('cart.json', [
      ...shopObjects({ ...CART, endpoints: ['10.1.0.3'] }),
      ...shopObjects({ ...STICKY, endpoints: others }),
    ]);
    shell('nft flush chain ip penstock nat-output');
    agent.start();
    t.ok(await agent.ready());
    t.same(await reached('172.30.0.1', 10), ['10.1.0.3']);
    t.ok(others.includes(await ask('172.30.0.2')), 'a client is not kept at an endpoint that went');
    await agent.end('SIGTERM');
    shell(`${PENSTOCK} cleanup`);
  });

  t.test('cleanup leaves exactly what was there before', async (t) => {
    shell(FOREIGN);
    const before = listedRuleset();
    await using agent = new AgentProcess(SETTINGS);
    agent.write('cart.json', [...shopObjects(WITH_NODE_PORT), ...shopObjects(STICKY)]);
    agent.start();
    t.ok(await agent.ready());
    t.equal(await agent.end('SIGTERM'), 0);
    t.ok(CART.endpoints.includes(await ask('172.30.0.1')), 'traffic flows without an agent');
    t.match(shell(`${PENSTOCK} cleanup --dry-run`), /table ip penstock would be removed/);
    t.ok(CART.endpoints.includes(await ask('172.30.0.1')), 'a dry run removes nothing');
    t.match(shell(`${PENSTOCK} cleanup`), /table ip penstock removed/);
    t.equal(listedRuleset(), before);
    shell('nft delete table ip admin');
  });
}

/** A socket that answers every datagram with its own address. */
async function answerOverUdp(address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('message', (_, { port, address: client }) => socket.send(address, port, client));
  await new Promise<void>((resolve) => socket.bind(8080, address, resolve));
  return socket;
}

/** Nothing came for a while. */
async function silent(answers: readonly string[]): Promise<boolean> {
  const count = answers.length;
  await new Promise((resolve) => setTimeout(resolve, 300));
  return answers.length === count;
}

/** The ports of the agent on loopback are others after a restart. */
function withoutRedirects(text: string): string {
  return text.replaceAll(/redirect to :\d+/g, 'redirect');
}

/** The same lines: a set that was made anew is listed at another place, its elements in another order. */
function same(a: string, b: string): boolean {
  const lines = (text: string) =>
    withoutRedirects(text)
      .split(/[,\n]/)
      .map((line) => line.trim())
      .sort()
      .join('\n');
  return lines(a) === lines(b);
}

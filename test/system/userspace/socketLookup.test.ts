/** Cluster IPs without NAT: what is served, what is refused, and what is left when the agent is killed. */
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess, PENSTOCK } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import { shopObjects, shopSlice } from '../../support/shopObjects.js';
import { SideNamespace } from '../../support/sideNamespace.js';
import { call, makeUserspaceWorld, serve, VIP } from '../../support/userspaceWorld.js';

const POD = '10.2.0.1';
const [VIP6, POD6] = ['fd00:30::1', 'fd00:2::1'];
const [RANGE, RANGE6] = ['172.30.0.0/16', 'fd00:30::/112'];
const EXTERNAL = '203.0.113.7';

const CIDRS = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'ServiceCIDR',
  metadata: { name: 'kubernetes' },
  spec: { cidrs: [RANGE, RANGE6] },
};
const web = (endpoints: readonly string[]) => [
  ...shopObjects({ name: 'web', clusterIP: VIP, endpoints, spec: { externalIPs: [EXTERNAL] } }),
  ...shopObjects({ name: 'none', clusterIP: '172.30.0.2', endpoints: [] }),
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'six', namespace: 'shop' },
    spec: { clusterIP: VIP6, ipFamilies: ['IPv6'], ports: [{ port: 80, protocol: 'TCP' }] },
  },
  shopSlice('six', 'IPv6', [{ addresses: [POD6], nodeName: 'node1' }]),
];

/** `ok`, or the code of the error. */
function reach(host: string, port = 80): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host, port, timeout: 1000 });
    const end = (outcome: string) => {
      socket.destroy();
      resolve(outcome);
    };
    socket.on('connect', () => socket.write('hello'));
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('timeout', () => end('TIMEOUT'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'ERROR'));
    socket.on('end', () => end(text));
  });
}

const STAY = 'still there?';

/** What the endpoint says to one more word of a connection that stays open. */
function talk(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const cancel = setTimeout(() => resolve('TIMEOUT'), 3000);
    socket.once('data', (text) => {
      clearTimeout(cancel);
      resolve(String(text));
    });
    socket.write(STAY);
  });
}

/** Connections whose end here is the address, and is no client's. */
const acceptedAt = (address: string, port = 80) =>
  shell('ss -Htn state established')
    .split('\n')
    .filter((line) => line.trim().split(/\s+/)[2]?.replace(/[[\]]/g, '') === `${address}:${port}`).length;

const localRoutes = (family: 4 | 6) =>
  shell(`ip -${family} route show table local proto 207`)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.trim().replace(/ (scope|metric|pref|proto) \S+/g, ''));

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD]);
  shell(
    `ip -6 addr add ${POD6}/128 dev lo; ip -6 addr add fd00:77::1/64 dev out nodad; ip -6 route add default dev out`,
  );
  const outside = new SideNamespace({ link: 'eth0', address: '192.168.78.2', gateway: '192.168.78.1' });
  t.teardown(() => outside.close());
  const answer = (socket: Socket) => {
    const late = setTimeout(() => socket.end('ok'), 2000).unref();
    socket.on('data', (said) => {
      if (String(said) !== STAY) {
        socket.end('ok');
        return;
      }
      clearTimeout(late);
      socket.write('yes');
    });
  };
  const servers = await Promise.all([serve(POD, answer), serve(POD6, answer)]);
  // What must never answer for a Service: a server of the host on every address.
  const stranger = createServer((socket) => socket.end('stranger'));
  await new Promise<void>((resolve) => stranger.listen(80, '::', resolve));
  const other = createServer((socket) => socket.end('stranger'));
  await new Promise<void>((resolve) => other.listen(81, '::', resolve));
  t.teardown(() => {
    for (const each of [...servers, stranger, other]) each.close();
  });
  const settings =
    'mode: userspace\nclusterCIDR: 10.2.0.0/16\npenstock: {takeover: true, socketLookup: auto}\n';

  await using agent = new AgentProcess(settings);
  agent.write('web.json', [CIDRS, ...web([POD])]);
  agent.start();
  await agent.ready(60_000);

  await t.test('connections arrive at the cluster IP itself', async (t) => {
    t.match(agent.output, 'captured by socket lookup and');
    t.strictSame(localRoutes(4), [`local ${RANGE} dev lo src 192.168.77.1`]);
    t.match(localRoutes(6), [new RegExp(`^local ${RANGE6} dev lo src fd00:`)]);
    for (const vip of [VIP, VIP6]) {
      const held = connect({ host: vip, port: 80 });
      await new Promise((resolve) => held.once('connect', resolve));
      t.ok(
        await eventually(async () => acceptedAt(vip) === 1),
        `${vip}: the proxy's end bears the cluster IP`,
      );
      held.destroy();
      t.equal(await reach(vip), 'ok');
    }
    t.equal(await outside.ask(VIP), 'ok', 'from outside too');
  });

  await t.test('refusals are as ever', async (t) => {
    t.equal(await reach(VIP, 81), 'ECONNREFUSED', 'a port that no Service has');
    t.equal(await reach('172.30.0.2'), 'ECONNREFUSED', 'no endpoints');
    t.equal(await reach('172.30.0.77'), 'TIMEOUT', 'a cluster IP that no Service has');
    t.equal(await reach(EXTERNAL), 'ok', 'other VIPs are redirected');
    agent.write('web.json', [CIDRS, ...web([])]);
    t.ok(await eventually(async () => (await reach(VIP)) === 'ECONNREFUSED'), 'the last endpoint goes');
    agent.write('web.json', [CIDRS, ...web([POD])]);
    t.ok(await eventually(async () => (await reach(VIP)) === 'ok'), 'and comes back');
  });

  await t.test('a node that is flooded, and answers with SYN cookies, still answers', async (t) => {
    shell('sysctl -qw net.ipv4.tcp_syncookies=2');
    for (const vip of [VIP, VIP6]) t.equal(await reach(vip), 'ok', vip);
    shell('sysctl -qw net.ipv4.tcp_syncookies=1');
  });

  await t.test('a route that somebody removes is back', async (t) => {
    shell(`ip route del local ${RANGE} table local`);
    t.ok(await eventually(async () => (await reach(VIP)) === 'ok'));
    t.match(agent.output, `the local route of ${RANGE} was gone`);
  });

  await t.test('one that is killed while it takes over leaves the old one serving, or nobody', async (t) => {
    await using fresh = new AgentProcess(settings);
    fresh.write('web.json', [CIDRS, ...web([POD])]);
    fresh.start();
    // From here on two programs are attached, and the newer one decides.
    t.ok(await eventually(async () => fresh.output.includes('captured by socket lookup'), 60_000));
    await fresh.end('SIGKILL');
    const found = [await reach(VIP), await reach(VIP6)];
    t.notOk(found.includes('stranger'), 'no server of the host answers');
    if (agent.output.includes('has taken over')) {
      t.equal(await agent.ended(), 0, 'it had been told to end');
      agent.start();
      await agent.ready(60_000);
    } else t.strictSame(found, ['ok', 'ok'], 'the old one goes on');
    for (const vip of [VIP, VIP6]) t.equal(await reach(vip), 'ok', vip);
  });

  await t.test('a new agent takes over under load, and then one that does not look up', async (t) => {
    const afterwards = (lookup: string) => {
      const fresh = new AgentProcess(settings.replace('auto', `'${lookup}'`));
      fresh.write('web.json', [CIDRS, ...web([POD])]);
      return fresh;
    };
    await using second = afterwards('auto');
    await using third = afterwards('off');
    let going = true;
    const outcomes: string[] = [];
    const clients = Array.from({ length: 4 }, async () => {
      while (going) outcomes.push((await call()).text);
    });
    for (const [old, fresh, routes] of [
      [agent, second, 1],
      [second, third, 0],
    ] as const) {
      const open = connect({ host: VIP, port: 80 }).on('error', () => {});
      if (fresh === third) t.equal(await talk(open), 'yes');
      else open.destroy();
      fresh.start();
      t.ok(await eventually(async () => fresh.output.includes('took over the listening sockets'), 60_000));
      if (fresh === third) {
        t.ok(await eventually(() => fresh.output.includes('synced: ')), 'its rules are in force');
        await pause(3000);
        t.equal(await talk(open), 'yes', 'a connection that came without NAT goes on');
        t.equal(localRoutes(4).length, 1, 'by the route');
        open.destroy();
      }
      t.equal(await old.ended(), 0, 'the old one ends by itself');
      await fresh.ready(60_000);
      t.ok(await eventually(() => localRoutes(4).length === routes), `routes: ${routes}`);
    }
    going = false;
    await Promise.all(clients);
    const failed = outcomes.filter((text) => text !== 'ok');
    t.strictSame(failed, [], `0 of ${outcomes.length} connections failed`);
    t.equal(await reach(VIP), 'ok', 'redirected');
  });

  await t.test('killed, it leaves nobody who answers in its place', async (t) => {
    agent.start();
    await agent.ready(60_000);
    t.equal(await reach(VIP), 'ok');
    await agent.end('SIGKILL');
    // To a client that uses a port again nobody answers: the kernel remembers the connection before, which was ours.
    const refused = /ECONNREFUSED|TIMEOUT/;
    for (let i = 0; i < 20; i++) for (const vip of [VIP, VIP6]) t.match(await reach(vip), refused, vip);
    t.equal(await reach(POD), 'stranger', 'which answers elsewhere');
    agent.start();
    await agent.ready(60_000);
    for (const vip of [VIP, VIP6]) t.equal(await reach(vip), 'ok', `${vip} is served again`);
    t.equal(await agent.end('SIGTERM'), 0);
    for (let i = 0; i < 20; i++) t.match(await reach(VIP), refused, 'an orderly end refuses too');
    t.match(shell(`${PENSTOCK} doctor || true`), `routes: local ${RANGE}`);
    t.match(shell(`${PENSTOCK} cleanup --check || true`), `the local route of ${RANGE}`);
    t.match(shell(`${PENSTOCK} cleanup --mode userspace`), `removed the local route of ${RANGE}`);
    t.strictSame([...localRoutes(4), ...localRoutes(6)], []);
  });
}

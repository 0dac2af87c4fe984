/** TCP through the proxy, between sockets of a network namespace. With a redirection: test/system/nftables. */

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { LocalhostOptions } from '../../../src/dataplane/localhost/LocalhostOptions.js';
import { LocalhostProxy } from '../../../src/dataplane/localhost/LocalhostProxy.js';
import { IP_FAMILIES } from '../../../src/net/ip.js';
import type { ServicePort } from '../../../src/routing/ServicePort.js';
import { systemClock } from '../../../src/time/Clock.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import {
  Answer,
  connectTo,
  ENDPOINT_PORT,
  NODE_PORT,
  nodePortRow,
  openProxy,
  readAll,
} from '../../unit/dataplane/localhost/nodePorts.js';

/**
 * All of 10.99.0.0/24 and 10.9.0.0/24 is local, packets to 10.9.9.2 are lost, there is no way to 10.9.7.0. As texts,
 * which is how endpoints are sorted, those that are dead come first.
 */
const NETWORK = `ip link set lo up
  ip addr add 10.99.0.1/24 dev lo; ip addr add fd99::1/128 dev lo; ip addr add 10.9.0.1/24 dev lo
  ip link add silent type veth peer name peer; ip link set silent up; ip link set peer up
  ip addr add 10.9.9.1/24 dev silent; ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:01 dev silent
  ip route add unreachable 10.9.7.0/24`;
const REFUSED = '10.9.0.66';
const SILENT = '10.9.9.2';
const UNREACHABLE = '10.9.7.1';
const RESET = { code: 'ECONNRESET' };

/** An endpoint that does with each connection as `serve` says. */
async function endpointAt(t: Test, address: string, serve: (socket: Socket) => void): Promise<Socket[]> {
  const accepted: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  t.teardown(() => {
    for (const socket of accepted) socket.destroy();
  });
  t.teardown(() => server.close());
  server.listen(ENDPOINT_PORT, address);
  await once(server, 'listening');
  return accepted;
}

/** Says its address at once. */
const sayAddress = (socket: Socket) => void socket.end(String(socket.localAddress));
const keepOpen = () => {};

async function ask(proxy: LocalhostProxy): Promise<string> {
  const client = await connectTo(proxy);
  try {
    return String(await readAll(client));
  } finally {
    client.destroy();
  }
}

if (await inNetns(import.meta.url)) {
  t.test('without loopback', async (t) => {
    shell(`${NETWORK}; ip addr del ::1/128 dev lo`);
    const ipv4 = await openProxy(t, undefined);
    shell('ip addr del 127.0.0.1/8 dev lo');
    const neither = await openProxy(t, undefined);
    shell('ip addr add 127.0.0.1/8 dev lo; ip addr add ::1/128 dev lo');
    for (const protocol of ['TCP', 'UDP'] as const) {
      t.type(ipv4.port('IPv4', protocol), 'number');
      t.equal(ipv4.port('IPv6', protocol), undefined);
      t.equal(neither.port('IPv4', protocol), undefined);
    }
  });

  t.test('no port to be had', async (t) => {
    const range = shell('cat /proc/sys/net/ipv4/ip_local_port_range');
    const taken = createServer().listen(40_000, '127.0.0.1');
    await once(taken, 'listening');
    shell('echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range');
    t.teardown(() => {
      shell(`echo ${range.trim()} > /proc/sys/net/ipv4/ip_local_port_range`);
      taken.close();
    });
    const opened = LocalhostProxy.open(IP_FAMILIES, {
      originalPort: async () => NODE_PORT,
      servicePort: () => undefined,
    });
    await t.rejects(opened, {
      code: 'PENSTOCK_LOCALHOST_LISTEN',
      message: /127\.0\.0\.1.*EADDRINUSE/,
      remedy: /LimitNOFILE/,
    });
  });

  for (const [family, address] of [
    ['IPv4', '10.99.0.1'],
    ['IPv6', 'fd99::1'],
  ] as const) {
    t.test(`the end of one direction leaves the other open (${family})`, async (t) => {
      const proxy = await openProxy(t, nodePortRow([address]));
      await endpointAt(t, address, (socket) => {
        readAll(socket).then((request) => socket.end(`heard ${request}`));
      });
      const asking = await connectTo(proxy, family);
      asking.end('hello');
      t.equal(String(await readAll(asking)), 'heard hello', 'the client ends first');
    });
  }

  t.test('an endpoint that ends first', async (t) => {
    const proxy = await openProxy(t, nodePortRow(['10.99.0.1']));
    const accepted = await endpointAt(t, '10.99.0.1', (socket) => void socket.end('go on'));
    const client = await connectTo(proxy);
    t.equal(String(await readAll(client)), 'go on');
    client.end('and on');
    const [socket] = accepted;
    if (socket === undefined) throw new Error('nothing was accepted');
    t.equal(String(await readAll(socket)), 'and on');
  });

  t.test('what the client has sent and ended before the endpoint is known', async (t) => {
    const found = new Answer<number>();
    const proxy = await openProxy(t, nodePortRow(['10.99.0.1']), { originalPort: () => found.promise });
    await endpointAt(t, '10.99.0.1', (socket) => void socket.pipe(socket));
    const [talking, silent] = [await connectTo(proxy), await connectTo(proxy)];
    talking.end('early');
    silent.end();
    await new Promise((resolve) => setTimeout(resolve, 50));
    found.resolve(NODE_PORT);
    t.equal(String(await readAll(talking)), 'early');
    t.equal(String(await readAll(silent)), '');
  });

  t.test('many bytes both ways, and a reader that rests', async (t) => {
    const proxy = await openProxy(t, nodePortRow(['10.99.0.1']));
    const accepted = await endpointAt(t, '10.99.0.1', (socket) => void socket.pipe(socket));
    const client = await connectTo(proxy);
    const sent = randomBytes(32 * 1024 * 1024);
    client.end(sent);
    await new Promise((resolve) => setTimeout(resolve, 300));
    t.ok((accepted[0]?.bytesRead ?? Infinity) < sent.length, 'the sender waits for the reader');
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    t.equal(digest(await readAll(client)), digest(sent));
  });

  t.test('a dead endpoint is not the end', async (t) => {
    const row = nodePortRow([REFUSED, UNREACHABLE, SILENT, '10.99.0.1', '10.99.0.2']);
    await endpointAt(t, '10.99.0.1', sayAddress);
    await endpointAt(t, '10.99.0.2', sayAddress);
    const proxy = await openProxy(t, row);
    const before = performance.now();
    t.equal(await ask(proxy), '10.99.0.1');
    const waited = performance.now() - before;
    t.ok(waited > 900 && waited < 2500, `${waited} ms: one second for the silent one`);
  });

  t.test('a client that goes meanwhile', async (t) => {
    const proxy = await openProxy(t, nodePortRow([SILENT, '10.99.0.1']));
    const accepted = await endpointAt(t, '10.99.0.1', keepOpen);
    const client = await connectTo(proxy);
    client.resetAndDestroy();
    await new Promise((resolve) => setTimeout(resolve, 1300));
    t.strictSame(accepted, [], 'the next endpoint is left in peace');
  });

  const NOBODY: readonly [name: string, row: ServicePort | undefined, options?: Partial<LocalhostOptions>][] =
    [
      ['all endpoints are dead', nodePortRow([REFUSED, UNREACHABLE])],
      ['the service port has no endpoint', nodePortRow([])],
      ['no service port has the node port', undefined],
      ['the node port is not known', nodePortRow(['10.99.0.1']), { originalPort: async () => undefined }],
      [
        'the node port cannot be found out',
        nodePortRow(['10.99.0.1']),
        { originalPort: () => Promise.reject(new Error('EPERM')) },
      ],
      [
        'it was not redirected',
        nodePortRow(['10.99.0.1']),
        { originalPort: async ({ proxy }) => proxy.port, servicePort: () => nodePortRow(['10.99.0.1']) },
      ],
    ];
  for (const [name, row, options] of NOBODY) {
    t.test(`reset when ${name}`, async (t) => {
      const accepted = await endpointAt(t, '10.99.0.1', sayAddress);
      const proxy = await openProxy(t, row, options);
      await t.rejects(ask(proxy), RESET);
      t.strictSame(accepted, []);
    });
  }

  t.test('what is asked of conntrack', async (t) => {
    const flows: unknown[] = [];
    const answer = new Answer<undefined>();
    const proxy = await openProxy(t, undefined, {
      originalPort: (flow) => {
        flows.push(flow);
        return answer.promise;
      },
    });
    const client = await connectTo(proxy, 'IPv6');
    const { localPort } = client;
    answer.resolve(undefined);
    await t.rejects(readAll(client), RESET);
    t.strictSame(flows, [
      {
        family: 'IPv6',
        protocol: 'TCP',
        client: { address: '::1', port: localPort },
        proxy: { address: '::1', port: proxy.port('IPv6', 'TCP') },
      },
    ]);
  });

  t.test('a reset is passed on', async (t) => {
    const proxy = await openProxy(t, nodePortRow(['10.99.0.1']));
    const accepted = await endpointAt(t, '10.99.0.1', keepOpen);
    const met = async () => {
      const client = await connectTo(proxy);
      await eventually(() => accepted.length > 0);
      const socket = accepted.pop();
      if (socket === undefined) throw new Error('nothing was accepted');
      return { client, socket };
    };
    const first = await met();
    first.socket.resetAndDestroy();
    await t.rejects(readAll(first.client), RESET, 'from the endpoint');
    const second = await met();
    second.client.resetAndDestroy();
    await t.rejects(readAll(second.socket), RESET, 'from the client');
    const third = await met();
    third.client.end('done');
    t.equal(String(await readAll(third.socket)), 'done');
    third.socket.resetAndDestroy();
    await t.rejects(readAll(third.client), RESET, 'after one direction has ended');
  });

  t.test('affinity', async (t) => {
    await endpointAt(t, '10.99.0.1', sayAddress);
    const other = createServer(sayAddress);
    let row = nodePortRow(['10.99.0.1', '10.99.0.2'], { affinitySeconds: 10 });
    let clock = 0;
    let random = 0.99;
    const proxy = await openProxy(t, row, {
      servicePort: () => row,
      random: () => random,
      clock: { ...systemClock, now: () => clock },
    });
    t.equal(await ask(proxy), '10.99.0.1', 'the other is dead yet');
    other.listen(ENDPOINT_PORT, '10.99.0.2');
    await once(other, 'listening');
    t.teardown(() => other.close());
    t.equal(await ask(proxy), '10.99.0.1', 'who served sticks, not who was tried');
    clock = 10_000;
    t.equal(await ask(proxy), '10.99.0.2', 'affinity has expired');
    random = 0;
    t.equal(await ask(proxy), '10.99.0.2');
    row = nodePortRow(['10.99.0.1'], { affinitySeconds: 10 });
    t.equal(await ask(proxy), '10.99.0.1', 'the endpoint has gone from the Service');
  });

  t.test('a limit of connections', async (t) => {
    const proxy = await openProxy(t, nodePortRow(['10.99.0.1']), { maxConnections: 2 });
    const accepted = await endpointAt(t, '10.99.0.1', keepOpen);
    const open = [await connectTo(proxy), await connectTo(proxy)];
    t.ok(await eventually(() => accepted.length === 2));
    await t.rejects(ask(proxy), RESET);
    open[0]?.resetAndDestroy();
    t.ok(await eventually(() => accepted[0]?.destroyed === true));
    const next = await connectTo(proxy);
    t.ok(await eventually(() => accepted.length === 3), 'there is room again');
    for (const client of [...open, next]) client.destroy();
  });

  t.test('close', async (t) => {
    const never = new Answer<number>();
    let calls = 0;
    const proxy = await openProxy(t, nodePortRow([SILENT, '10.99.0.1']), {
      random: () => 0.99,
      originalPort: () => (++calls === 2 ? never.promise : Promise.resolve(NODE_PORT)),
    });
    const connecting = await openProxy(t, nodePortRow([SILENT]));
    await endpointAt(t, '10.99.0.1', (socket) => void socket.write('hello'));
    const joined = await connectTo(proxy);
    await once(joined, 'data');
    const clients = [joined, await connectTo(proxy), await connectTo(connecting)];
    await eventually(() => calls === 2);
    const torn = clients.map((client) => t.rejects(readAll(client), RESET));
    const tcpPort = proxy.port('IPv4', 'TCP');
    const before = performance.now();
    await Promise.all([proxy.close(), connecting.close(), ...torn]);
    t.ok(performance.now() - before < 800, 'at once');
    t.equal(proxy.port('IPv4', 'TCP'), undefined);
    never.resolve(NODE_PORT);
    t.throws(() => shell(`bash -c '</dev/tcp/127.0.0.1/${tcpPort}'`), /refused/);
  });
}

/** UDP through the proxy, between sockets of a network namespace. With a redirection: test/system/nftables. */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import type { LocalhostOptions } from '../../../src/dataplane/localhost/LocalhostOptions.js';
import type { LocalhostProxy } from '../../../src/dataplane/localhost/LocalhostProxy.js';
import type { IpFamily } from '../../../src/net/ip.js';
import type { ServicePort } from '../../../src/routing/ServicePort.js';
import { systemClock } from '../../../src/time/Clock.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually, shell } from '../../support/iptables.js';
import {
  Answer,
  ENDPOINT_PORT,
  LOOPBACK,
  NODE_PORT,
  nodePortRow,
  openProxy,
} from '../../unit/dataplane/localhost/nodePorts.js';

const REFUSED = '10.99.0.1';
const ONE = '10.99.0.2';
const TWO = '10.99.0.3';
const LARGEST = 65_507;

interface Heard {
  readonly text: string;
  readonly address: string;
  /** The port it came from: each flow of the proxy has its own. */
  readonly port: number;
}

class Endpoint {
  readonly heard: Heard[] = [];
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  get texts(): string[] {
    return this.heard.map(({ text }) => text);
  }
}

/** Answers `address: text` to each datagram, or nothing when it is `mute`. */
async function endpointAt(t: Pick<Test, 'teardown'>, address: string, manner = 'polite'): Promise<Endpoint> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const endpoint = new Endpoint(socket);
  socket.on('message', (datagram, { port, address: from }) => {
    endpoint.heard.push({ text: String(datagram), address: from, port });
    if (manner === 'polite') socket.send(`${address}: ${datagram}`, port, from);
  });
  socket.bind(ENDPOINT_PORT, address);
  await once(socket, 'listening');
  t.teardown(() => close(socket));
  return endpoint;
}

async function close(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.close(resolve)).catch(() => {});
}

class Client {
  readonly received: Buffer[] = [];
  readonly #socket: Socket;
  readonly #proxy: { readonly port: number; readonly address: string };

  constructor(t: Pick<Test, 'teardown'>, proxy: LocalhostProxy, family: IpFamily = 'IPv4') {
    const port = proxy.port(family, 'UDP');
    if (port === undefined) throw new Error(`no port for ${family}`);
    this.#proxy = { port, address: LOOPBACK[family] };
    this.#socket = createSocket(family === 'IPv4' ? 'udp4' : 'udp6');
    this.#socket.on('message', (datagram, from) => {
      // Only the port that was written to can be turned back by conntrack.
      if (from.port === port) this.received.push(datagram);
    });
    t.teardown(() => close(this.#socket));
  }

  get texts(): string[] {
    return this.received.map(String);
  }

  send(data: string | Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      const { port, address } = this.#proxy;
      this.#socket.send(data, port, address, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** The next datagram that comes back, or undefined when none comes within 300 ms. */
  async ask(text: string): Promise<string | undefined> {
    const { length } = this.received;
    await this.send(text);
    await eventually(() => this.received.length > length, 300);
    return this.texts[length];
  }
}

function udpRow(addresses: readonly string[], affinitySeconds?: number): ServicePort {
  return nodePortRow(addresses, { protocol: 'UDP', affinitySeconds });
}

if (await inNetns(import.meta.url)) {
  shell('ip link set lo up; ip addr add 10.99.0.1/24 dev lo; ip addr add fd99::1/128 dev lo');

  for (const [family, address] of [
    ['IPv4', ONE],
    ['IPv6', 'fd99::1'],
  ] as const) {
    t.test(`each client has a flow of its own (${family})`, async (t) => {
      const endpoint = await endpointAt(t, address);
      let calls = 0;
      const proxy = await openProxy(t, udpRow([address]), {
        originalPort: async () => {
          calls++;
          return NODE_PORT;
        },
      });
      const [first, second] = [new Client(t, proxy, family), new Client(t, proxy, family)];
      t.equal(await first.ask('a'), `${address}: a`);
      t.equal(await second.ask('b'), `${address}: b`);
      t.equal(await first.ask('c'), `${address}: c`);
      const [a, b, c] = endpoint.heard.map(({ port }) => port);
      t.equal(a, c, 'one client, one source port');
      t.not(a, b, 'another client, another source port');
      t.equal(calls, 2, 'conntrack is asked once for each flow');
    });
  }

  t.test('the largest datagrams, and empty ones', async (t) => {
    const proxy = await openProxy(t, udpRow([ONE]));
    const echo = await endpointAt(t, ONE, 'mute');
    echo.socket.on('message', (datagram, { port, address }) => echo.socket.send(datagram, port, address));
    const client = new Client(t, proxy);
    const large = Buffer.alloc(LARGEST, 'x');
    await client.send(large);
    t.ok(await eventually(() => client.received.length === 1, 2000));
    t.ok(client.received[0]?.equals(large));
    t.equal(await client.ask(''), '');
  });

  t.test('datagrams wait while the node port is looked up, a handful', async (t) => {
    const answer = new Answer<number>();
    const proxy = await openProxy(t, udpRow([ONE]), { originalPort: () => answer.promise });
    const endpoint = await endpointAt(t, ONE);
    const client = new Client(t, proxy);
    const all = Array.from({ length: 20 }, (_, i) => `d${i}`);
    for (const text of all) await client.send(text);
    await new Promise((resolve) => setTimeout(resolve, 50));
    answer.resolve(NODE_PORT);
    await eventually(() => client.received.length >= 8, 2000);
    t.equal(await client.ask('later'), `${ONE}: later`);
    t.strictSame(endpoint.texts, [...all.slice(0, 8), 'later']);
  });

  t.test('no more than 64 KiB wait', async (t) => {
    const answer = new Answer<number>();
    const proxy = await openProxy(t, udpRow([ONE]), { originalPort: () => answer.promise });
    const endpoint = await endpointAt(t, ONE, 'mute');
    const client = new Client(t, proxy);
    for (const size of [60_000, 10_000, 5000]) await client.send(Buffer.alloc(size, 'x'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    answer.resolve(NODE_PORT);
    await eventually(() => endpoint.heard.length >= 2, 2000);
    await client.send('later');
    await eventually(() => endpoint.heard.length >= 3, 2000);
    t.strictSame(
      endpoint.texts.map(({ length }) => length),
      [60_000, 5000, 5],
    );
  });

  t.test('the next endpoint gets what a dead one refused', async (t) => {
    const proxy = await openProxy(t, udpRow([REFUSED, ONE, TWO]));
    const [one, two] = [await endpointAt(t, ONE), await endpointAt(t, TWO)];
    const client = new Client(t, proxy);
    t.equal(await client.ask('hello'), `${ONE}: hello`);
    t.equal(await client.ask('again'), `${ONE}: again`);
    t.strictSame(one.texts, ['hello', 'again']);
    t.strictSame(two.texts, []);
  });

  t.test('all endpoints are dead, then one is not', async (t) => {
    const proxy = await openProxy(t, udpRow([REFUSED, ONE]));
    const client = new Client(t, proxy);
    t.equal(await client.ask('lost'), undefined);
    const endpoint = await endpointAt(t, ONE);
    t.equal(await client.ask('hello'), `${ONE}: hello`);
    t.strictSame(endpoint.texts, ['hello'], 'what was lost stays lost');
  });

  t.test('an endpoint that dies later', async (t) => {
    const proxy = await openProxy(t, udpRow([ONE, TWO]));
    const [one, two] = [await endpointAt(t, ONE), await endpointAt(t, TWO)];
    const client = new Client(t, proxy);
    t.equal(await client.ask('a'), `${ONE}: a`);
    await close(one.socket);
    t.equal(await client.ask('b'), undefined, 'it might have been heard: not sent twice');
    t.equal(await client.ask('c'), `${TWO}: c`);
    t.strictSame(two.texts, ['c']);
  });

  t.test('a refusal brings back only what was just sent', async (t) => {
    let clock = 0;
    const proxy = await openProxy(t, udpRow([ONE, TWO]), { clock: { ...systemClock, now: () => clock } });
    const [one, two] = [await endpointAt(t, ONE, 'mute'), await endpointAt(t, TWO)];
    const client = new Client(t, proxy);
    await client.ask('old');
    t.strictSame(one.texts, ['old']);
    await close(one.socket);
    clock = 2000;
    t.equal(await client.ask('new'), `${TWO}: new`);
    t.strictSame(two.texts, ['new']);
  });

  t.test('an endpoint that has gone from the Service', async (t) => {
    let row = udpRow([ONE, TWO]);
    const proxy = await openProxy(t, undefined, { servicePort: () => row });
    await endpointAt(t, ONE);
    const two = await endpointAt(t, TWO);
    const client = new Client(t, proxy);
    t.equal(await client.ask('a'), `${ONE}: a`);
    row = udpRow([REFUSED, ONE, TWO]);
    t.equal(await client.ask('b'), `${ONE}: b`, 'a change of others moves nothing');
    row = udpRow([TWO]);
    t.equal(await client.ask('c'), `${TWO}: c`);
    row = udpRow([]);
    t.equal(await client.ask('d'), undefined);
    t.strictSame(two.texts, ['c']);
  });

  t.test('after a silence the node port is asked for again', async (t) => {
    let clock = 0;
    let nodePort = NODE_PORT;
    const other = nodePortRow([TWO], { protocol: 'UDP', nodePort: 30081 });
    const own = udpRow([ONE]);
    const proxy = await openProxy(t, undefined, {
      clock: { ...systemClock, now: () => clock },
      originalPort: async () => nodePort,
      servicePort: (_family, _protocol, asked) => (asked === NODE_PORT ? own : other),
    });
    const one = await endpointAt(t, ONE);
    await endpointAt(t, TWO);
    const client = new Client(t, proxy);
    await client.ask('a');
    nodePort = 30081;
    clock = 9_999;
    t.equal(await client.ask('b'), `${ONE}: b`, 'too soon for another client with the same port');
    nodePort = NODE_PORT;
    clock = 19_999;
    t.equal(await client.ask('c'), `${ONE}: c`);
    t.equal(new Set(one.heard.map(({ port }) => port)).size, 1, 'the flow goes on');
    nodePort = 30081;
    clock = 29_999;
    t.equal(await client.ask('d'), `${TWO}: d`, 'the port has another client now');
  });

  t.test('flows end when they are idle', async (t) => {
    let clock = 0;
    const proxy = await openProxy(t, udpRow([ONE]), { clock: { ...systemClock, now: () => clock } });
    const endpoint = await endpointAt(t, ONE, 'mute');
    const client = new Client(t, proxy);
    const flowAfter = async (silence: number) => {
      clock += silence;
      const { length } = endpoint.heard;
      await client.send('x');
      await eventually(() => endpoint.heard.length > length, 2000);
      return endpoint.heard[length]?.port ?? 0;
    };
    const unreplied = await flowAfter(0);
    t.equal(await flowAfter(29_999), unreplied);
    const next = await flowAfter(30_000);
    t.not(next, unreplied);
    endpoint.socket.send('reply', next, endpoint.heard.at(-1)?.address);
    t.ok(await eventually(() => client.received.length === 1, 2000));
    t.equal(await flowAfter(119_999), next);
    t.not(await flowAfter(120_000), next);
  });

  t.test('idle flows give their sockets back', async (t) => {
    let clock = 0;
    const proxy = await openProxy(t, udpRow([ONE]), { clock: { ...systemClock, now: () => clock } });
    const endpoint = await endpointAt(t, ONE);
    await new Client(t, proxy).ask('x');
    const port = endpoint.heard[0]?.port ?? 0;
    const isOpen = () => shell(`ss -Hun 'sport = :${port}'`).length > 0;
    t.ok(isOpen());
    clock = 120_000;
    t.ok(await eventually(() => !isOpen(), 8000));
  });

  t.test('a limit of flows: the longest unused goes', async (t) => {
    const proxy = await openProxy(t, udpRow([ONE]), { maxFlows: 2 });
    const endpoint = await endpointAt(t, ONE);
    const [first, second, third] = [new Client(t, proxy), new Client(t, proxy), new Client(t, proxy)];
    const flowOf = async (client: Client) => {
      await client.ask('x');
      return endpoint.heard.at(-1)?.port;
    };
    const [a, b] = [await flowOf(first), await flowOf(second)];
    t.equal(await flowOf(first), a);
    await flowOf(third);
    t.equal(await flowOf(first), a, 'it was used later than the second');
    t.not(await flowOf(second), b);
  });

  t.test('affinity', async (t) => {
    let random = 0;
    const proxy = await openProxy(t, udpRow([ONE, TWO], 10), { random: () => random });
    await endpointAt(t, ONE);
    await endpointAt(t, TWO);
    t.equal(await new Client(t, proxy).ask('a'), `${ONE}: a`);
    random = 0.99;
    t.equal(await new Client(t, proxy).ask('b'), `${ONE}: b`, 'of another client of this node');
  });

  const NOBODY: readonly [name: string, row: ServicePort | undefined, options?: Partial<LocalhostOptions>][] =
    [
      ['no service port has the node port', undefined],
      ['the service port has no endpoint', udpRow([])],
      ['the node port is not known', udpRow([ONE]), { originalPort: async () => undefined }],
      [
        'the node port cannot be found out',
        udpRow([ONE]),
        { originalPort: () => Promise.reject(new Error('EPERM')) },
      ],
      [
        'it was not redirected',
        undefined,
        { originalPort: async ({ proxy }) => proxy.port, servicePort: () => udpRow([ONE]) },
      ],
    ];
  for (const [name, row, options] of NOBODY) {
    t.test(`dropped when ${name}`, async (t) => {
      const endpoint = await endpointAt(t, ONE);
      const proxy = await openProxy(t, row, options);
      t.equal(await new Client(t, proxy).ask('x'), undefined);
      t.strictSame(endpoint.heard, []);
    });
  }

  t.test('close', async (t) => {
    const answer = new Answer<number>();
    let calls = 0;
    const proxy = await openProxy(t, udpRow([ONE]), {
      originalPort: () => (++calls === 2 ? answer.promise : Promise.resolve(NODE_PORT)),
    });
    const endpoint = await endpointAt(t, ONE);
    const client = new Client(t, proxy);
    await client.ask('a');
    await new Client(t, proxy).send('pending');
    await eventually(() => calls === 2);
    await proxy.close();
    answer.resolve(NODE_PORT);
    t.equal(proxy.port('IPv4', 'UDP'), undefined);
    t.equal(await client.ask('b'), undefined);
    t.strictSame(endpoint.texts, ['a']);
  });
}
